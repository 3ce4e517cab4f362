"use strict";
// Renews the overview while it is looked at. Without this script the page
// reloads itself.
(function () {
  var live = document.getElementById("live");
  function renew() {
    if (document.hidden || live.contains(document.activeElement)) { return; }
    fetch(location.href, { cache: "no-store" }).then(function (answer) {
      if (!answer.ok) { throw new Error(answer.status); }
      return answer.text();
    }).then(function (text) {
      var fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
      if (fresh && fresh.innerHTML !== live.innerHTML) { live.replaceChildren.apply(live, fresh.childNodes); }
      live.classList.remove("stale");
    }).catch(function () { live.classList.add("stale"); });
  }
  setInterval(renew, 2000);
})();
