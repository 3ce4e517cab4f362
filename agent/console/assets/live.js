"use strict";
// Renews what the page shows while it is looked at. Without this script the
// reader reloads it.
(function () {
  var live = document.getElementById("live");
  if (!live) { return; }
  function renew() {
    if (document.hidden || live.contains(document.activeElement)) { return; }
    fetch(location.pathname, { cache: "no-store", headers: { "Ciglio-Renew": "1" } }).then(function (answer) {
      if (!answer.ok || answer.redirected) { throw new Error(answer.status); }
      return answer.text();
    }).then(function (text) {
      var fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
      if (fresh) { live.replaceChildren.apply(live, fresh.childNodes); }
      live.classList.remove("stale");
    }).catch(function () { live.classList.add("stale"); });
  }
  setInterval(renew, 3000);
})();
