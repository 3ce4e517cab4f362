"use strict";
// Renews what the page shows while it is looked at. Without this script the
// reader reloads it.
(function () {
  var asked = { cache: "no-store", headers: { "Ciglio-Renew": "1" } };
  var parts = Array.from(document.querySelectorAll("[data-renew]"));
  // A part in which somebody is at work stays as it is.
  function free(part) { return !part.contains(document.activeElement); }
  function renew() {
    if (document.hidden || !parts.some(free)) { return; }
    fetch(location.pathname, asked).then(function (answer) {
      if (!answer.ok || answer.redirected) { throw new Error(answer.status); }
      return answer.text();
    }).then(function (text) {
      var page = new DOMParser().parseFromString(text, "text/html");
      parts.filter(free).forEach(function (part) {
        var fresh = page.getElementById(part.id);
        if (fresh) { part.replaceChildren.apply(part, fresh.childNodes); }
        part.classList.remove("stale");
      });
    }).catch(function () { parts.forEach(function (part) { part.classList.add("stale"); }); });
  }
  if (parts.length) { setInterval(renew, 3000); }
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
