"use strict";
// Looks at pages with Debian's Chromium: reads what to look at from standard input,
// writes what is wrong with it to standard output. See browser.go.
const { createRequire } = require("module");
const fs = require("fs");
const modules = createRequire(process.env.CIGLIO_BROWSER + "/");
const { chromium } = modules("playwright-core");
const { AxeBuilder } = modules("@axe-core/playwright");

// inPage is what the page itself knows of its layout.
function inPage(rules) {
  const faults = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    let widest = null;
    document.querySelectorAll("body *").forEach((e) => {
      if (!e.closest(".scroll, [data-scroll]") && e.getBoundingClientRect().right > root.clientWidth + 0.5) { widest = widest || e; }
    });
    faults.push(`wider than the window: ${root.scrollWidth} of ${root.clientWidth} px, ${widest ? widest.outerHTML.slice(0, 120) : ""}`);
  }
  const shown = (e) => e.checkVisibility() && e.getBoundingClientRect().width > 1;
  if (rules.target > 0) {
    document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary").forEach((e) => {
      if (!shown(e)) { return; }
      const box = (e.closest("label") || e).getBoundingClientRect();
      const inText = e.tagName === "A" && getComputedStyle(e).display === "inline";
      if (!inText && (box.width < rules.target - 0.5 || box.height < rules.target - 0.5)) {
        faults.push(`smaller than ${rules.target} px: ${Math.round(box.width)} by ${Math.round(box.height)}, ${e.outerHTML.slice(0, 120)}`);
      }
    });
  }
  if (rules.letters > 0) {
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const said = new Set();
    while (walk.nextNode()) {
      const e = walk.currentNode.parentElement;
      const size = parseFloat(getComputedStyle(e).fontSize);
      if (walk.currentNode.data.trim() && shown(e) && size < rules.letters && !said.has(e.tagName)) {
        said.add(e.tagName);
        faults.push(`letters of ${size} px: ${e.outerHTML.slice(0, 120)}`);
      }
    }
  }
  return faults;
}

// byKeyboard goes through the page with the tabulator: everything that can be used
// must be reached, in order, and seen to be.
async function byKeyboard(page) {
  const faults = [];
  const all = await page.evaluate(() => {
    let n = 0;
    window.ciglioPlaces = []; // where the keyboard has been
    document.addEventListener("focusin", (event) => {
      const e = event.target;
      if (e === document.body) { return; }
      const style = getComputedStyle(e);
      window.ciglioPlaces.push({ stop: e.dataset.stop, html: e.outerHTML.slice(0, 120),
        seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 });
    }, true);
    const groups = new Set();
    document.activeElement.blur();
    document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']").forEach((e) => {
      if (e.disabled || !e.checkVisibility()) { return; }
      if (e.type === "radio") {
        if (groups.has(e.name)) { return; }
        groups.add(e.name);
      }
      e.dataset.stop = String(n++);
    });
    return n;
  });
  for (let i = 0; i < all + 3; i++) { await page.keyboard.press("Tab"); }
  const at = await page.evaluate(() => window.ciglioPlaces);
  const reached = new Set();
  for (const place of at) {
    if (!place.seen) { faults.push(`the keyboard's place is not seen: ${place.html}`); }
    if (place.stop !== undefined) { reached.add(place.stop); }
  }
  if (reached.size < all) { faults.push(`the keyboard reaches ${reached.size} of ${all} places`); }
  return faults;
}

async function act(page, step) {
  const by = step.label ? page.getByLabel(step.label, { exact: true }) : page.locator(step.selector);
  switch (step.do) {
    case "fill": return by.first().fill(step.value);
    case "check": return by.first().check();
    case "focus": return by.first().focus();
    case "press": return page.keyboard.press(step.value);
    case "click": return Promise.all([page.waitForLoadState("load"), by.first().click()]);
    case "go": return page.goto(step.value);
  }
  throw new Error("no step " + step.do);
}

// says waits for a text: what was pressed last may still be on its way.
async function says(page, text) {
  for (let i = 0; i < 100; i++) {
    if ((await page.locator("body").innerText()).includes(text)) { return true; }
    await page.waitForTimeout(100);
  }
  return false;
}

// holdFetch lets a page ask nothing more, and hear no answer, once it shall stand still.
function holdFetch() {
  const ask = window.fetch;
  const never = new Promise(() => {});
  window.fetch = (...what) => window.ciglioStill ? never : ask(...what).then((answer) => window.ciglioStill ? never : answer);
}

// sameToAxe names what decides what axe finds: the page in its language and colours.
function sameToAxe(visit) {
  return JSON.stringify([visit.path, visit.language, Boolean(visit.dark), visit.cookies || [], visit.steps || []]);
}

async function look(browser, site, visit, asked) {
  const faults = [];
  const context = await browser.newContext({
    viewport: { width: visit.width, height: 800 }, locale: visit.language, javaScriptEnabled: !visit.noScript,
    colorScheme: visit.dark ? "dark" : "light", reducedMotion: "reduce",
    extraHTTPHeaders: { "Accept-Language": visit.language },
  });
  const origin = new URL(site.url).origin;
  await context.addCookies((visit.cookies || []).map((c) => ({ ...c, url: origin })));
  await context.addInitScript(holdFetch);
  const page = await context.newPage();
  page.on("request", (r) => { if (new URL(r.url()).origin !== origin && !r.url().startsWith("data:")) { faults.push("asks a third host: " + r.url()); } });
  page.on("pageerror", (e) => faults.push("script fails: " + e.message));
  const itself = (m) => (visit.status || 200) >= 400 && m.location().url === site.url + visit.path; // the wanted answer is no fault
  page.on("console", (m) => { if (m.type() === "error" && !itself(m)) { faults.push("browser complains: " + m.text()); } });
  try {
    const answer = await page.goto(site.url + visit.path);
    const wanted = visit.status || 200;
    if (answer.status() !== wanted) { faults.push(`answer ${answer.status()}, want ${wanted}`); }
    for (const step of visit.steps || []) { await act(page, step); }
    await page.waitForLoadState("load");
    for (const text of visit.want || []) {
      if (!await says(page, text)) { faults.push(`does not say ${JSON.stringify(text)}`); }
    }
    // From here on a page that renews itself stands still.
    if (!visit.noScript) { await page.evaluate(() => { window.ciglioStill = true; }); }
    if (visit.print) { await page.emulateMedia({ media: "print" }); }
    if (site.shots) {
      fs.mkdirSync(site.shots, { recursive: true });
      await page.screenshot({ path: `${site.shots}/${visit.name.replace(/[^a-z0-9]+/gi, "-")}.png`, fullPage: true });
    }
    if (!visit.print) { faults.push(...await page.evaluate(inPage, site.rules)); }
    if (!visit.print && !visit.noScript) {
      if (!asked.has(sameToAxe(visit))) {
        asked.add(sameToAxe(visit));
        // The page has no frames: axe need not open another page to look into them.
        const found = await new AxeBuilder({ page }).setLegacyMode(true).options({ resultTypes: ["violations"] }).analyze();
        for (const v of found.violations) {
          for (const n of v.nodes) { faults.push(`axe ${v.id}: ${v.help}: ${n.html.slice(0, 160)}`); }
        }
      }
      faults.push(...await byKeyboard(page));
    }
  } catch (e) {
    faults.push(String(e.message).split("\n")[0]);
  }
  await context.close();
  return { name: visit.name, faults };
}

(async () => {
  const site = JSON.parse(fs.readFileSync(0, "utf8"));
  const browser = await chromium.launch({ executablePath: site.chromium, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const results = [];
  const asked = new Set();
  for (const visit of site.visits) { results.push(await look(browser, site, visit, asked)); }
  await browser.close();
  process.stdout.write(JSON.stringify(results));
})().catch((e) => { process.stderr.write(String(e.stack)); process.exit(1); });
