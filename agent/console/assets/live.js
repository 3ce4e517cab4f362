"use strict";
// Renews what the page shows while it is looked at. Without this script the
// reader reloads it.
(function () {
  var asked = { cache: "no-store", headers: { "Ciglio-Renew": "1" } };
  var live = document.getElementById("live");
  function renew() {
    if (document.hidden || live.contains(document.activeElement)) { return; }
    fetch(location.pathname, asked).then(function (answer) {
      if (!answer.ok || answer.redirected) { throw new Error(answer.status); }
      return answer.text();
    }).then(function (text) {
      var fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
      if (fresh) { live.replaceChildren.apply(live, fresh.childNodes); }
      live.classList.remove("stale");
    }).catch(function () { live.classList.add("stale"); });
  }
  if (live) { setInterval(renew, 3000); }
  // A picture stays until the next one is there, and is old when none comes.
  document.querySelectorAll("img[data-live]").forEach(function (img) {
    var path = img.getAttribute("src"), count = 0, waiting = false;
    setInterval(function () {
      if (document.hidden || waiting) { return; }
      var next = new Image();
      waiting = true;
      next.onload = function () { waiting = false; img.src = next.src; img.classList.remove("stale"); };
      next.onerror = function () { waiting = false; img.classList.add("stale"); };
      next.src = path + "?n=" + (++count);
    }, Number(img.dataset.live));
  });
})();
