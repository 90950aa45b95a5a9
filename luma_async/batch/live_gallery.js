
// --- News of the running batch. A page that was opened from a file may not read another file, but
// it may load a script again and again: each one calls `galleryNews`. The policy lets only this
// script load others, and trusted types let it load these only.

const live = $("#live");
const every = Number(live.dataset.every);
const partSize = Number(live.dataset.part);
const title = document.title;
const policy = globalThis.trustedTypes?.createPolicy("gallery", {
  createScriptURL(url) {
    if (!/^gallery-live\/(now|(rows|part)-\d+)\.js\?\d+$/.test(url)) throw new TypeError(url);
    return url;
  },
});
const MOST_SILENT = 15; // looks without news, until the batch counts as killed
const SPEAKING = 30_000; // milliseconds from one spoken count to the next

let { run } = live.dataset;
let applied = Number(live.dataset.applied); // rows that have ended, in the order of their ends
let news = null; // the newest
let silent = 0;
let phase = "starting";
let received = null;
let nextLook;
let isLooking = false;
let spokenAt = -Infinity;

function galleryNews(found) { received = found; }

function load(name) {
  return new Promise((resolve) => {
    const script = document.createElement("script");
    const url = `gallery-live/${name}.js?${Date.now()}`;
    received = null;
    script.onload = script.onerror = () => {
      script.remove();
      resolve(received);
    };
    script.src = policy ? policy.createScriptURL(url) : url;
    document.head.append(script);
  });
}

async function look() {
  if (isLooking) return;
  isLooking = true;
  clearTimeout(nextLook);
  const head = await load("now");
  const isNew = head !== null && (head.run !== news?.run || head.at !== news?.at);
  silent = isNew ? 0 : silent + 1;
  if (isNew && head.rows !== live.dataset.rows) phase = "outdated";
  else if (isNew && await follow(head)) phase = head.phase;
  else if (silent >= MOST_SILENT) phase = "silent";
  isLooking = false;
  tell();
  if (isGoingOn()) nextLook = setTimeout(look, document.hidden ? 10 * every : every);
}

const isGoingOn = () => ["starting", "running", "stopping"].includes(phase);

// A user who comes back to the page may have started the batch again.
function lookAgain() {
  if (document.hidden || isLooking) return;
  if (!isGoingOn()) silent = MOST_SILENT - 1;
  look();
}
document.addEventListener("visibilitychange", lookAgain);
addEventListener("focus", lookAgain);

// Returns false if a file is not there: the next look tries again.
async function follow(head) {
  const isChanged = head.run !== news?.run || head.number !== news?.number;
  const found = isChanged ? await load(`rows-${head.number}`) : null;
  if (isChanged && found?.run !== head.run) return false;
  if (head.run !== run) {
    run = head.run;
    applied = 0;
  }
  const changed = new Set();
  let isWhole = true;
  while (found && isWhole && applied < found.from) {
    const part = await load(`part-${Math.floor(applied / partSize)}`);
    isWhole = part?.run === run;
    if (isWhole) applied += endAll(part.ended.slice(applied % partSize), changed);
  }
  if (found && isWhole) {
    applied += endAll(found.ended.slice(applied - found.from), changed);
    setRunning(found.running, changed);
  }
  if (changed.size) {
    filterAgain(changed);
    loadNear();
  }
  if (isWhole) news = { ...news, ...found, ...head };
  return isWhole;
}

// --- Cards that change

const tally = new Map();
for (const { dataset } of cards) tally.set(dataset.state, (tally.get(dataset.state) ?? 0) + 1);
const running = new Map(); // cards of rows that run, each with its text before

function setState(card, state) {
  tally.set(card.dataset.state, tally.get(card.dataset.state) - 1);
  tally.set(state, (tally.get(state) ?? 0) + 1);
  card.dataset.state = state;
  card.className = `card ${state.replaceAll(" ", "-")}`;
}

const stateText = (card) => $(".state", card);
const capitalized = (text) => text[0].toUpperCase() + text.slice(1);

function setRunning(rows, changed) {
  const before = new Set(running.keys());
  for (const [number, text, progress] of rows) {
    const card = cards[number - 1];
    before.delete(card);
    if (!running.has(card)) {
      running.set(card, card.dataset.state);
      setState(card, "running");
      changed.add(card);
    }
    if (stateText(card).textContent !== text) stateText(card).textContent = text;
    showProgress(card, progress);
  }
  for (const card of before) { // interrupted
    setState(card, running.get(card));
    running.delete(card);
    stateText(card).textContent = capitalized(card.dataset.state);
    showProgress(card, null);
    changed.add(card);
  }
}

function showProgress(card, progress) {
  let bar = $("progress", card);
  if (progress === null) {
    bar?.remove();
    return;
  }
  if (!bar) {
    bar = make("progress", "");
    bar.setAttribute("aria-hidden", "true"); // the text has it
    $(".stage", card).append(bar);
  }
  if (bar.value !== progress) bar.value = progress;
}

function endAll(rows, changed) {
  for (const row of rows) {
    const card = cards[row.n - 1];
    end(card, row);
    changed.add(card);
  }
  return rows.length;
}

function end(card, row) {
  const hadFocus = card !== document.activeElement && card.contains(document.activeElement);
  running.delete(card);
  setState(card, row.state);
  const isOther = (card.dataset.id ?? null) !== (row.id ?? null);
  if (row.id) card.dataset.id = row.id;
  else delete card.dataset.id;
  const state = make(row.link ? "span" : "p", "state", capitalized(row.state));
  state.id = `state-${row.n}`;
  showProgress(card, null);
  const key = $(".key", card);
  const play = $(".play", card);
  if (!row.link) {
    const reason = make("p", "clamp reason", row.reason);
    reason.dir = "auto";
    $(".stage", card).replaceChildren(make("div", "why", state, reason, moreButton()));
  } else if (isOther || play?.getAttribute("href") !== row.link) { // otherwise it may be playing
    if (play && play === previewed) preview(null);
    $(".stage", card).replaceChildren(playLink(row, key.textContent));
  }
  const prompt = $(".prompt", card);
  if (row.prompt && prompt.textContent !== row.prompt) prompt.textContent = row.prompt;
  const facts = (row.facts ?? []).map((fact) => make("span", "", fact));
  if (row.size) facts.push(make("span", "size", row.size));
  if (row.id && !row.link) facts.push(make("bdi", "", row.id));
  $(".facts", card).replaceChildren(...(row.link ? [state] : []), key, ...facts);
  for (const old of card.querySelectorAll(".text > :is(.files, .earlier, .steps)")) old.remove();
  if (row.files) $(".text", card).append(furtherFiles(row.files));
  if (row.earlier) $(".text", card).append(earlierVideos(row.earlier));
  if (row.steps) $(".text", card).append(listOf(row.steps));
  for (const control of card.querySelectorAll("a, button, summary")) {
    control.tabIndex = card === current ? 0 : -1;
  }
  texts.set(card, textOf(card));
  if (hadFocus && !card.contains(document.activeElement)) card.focus({ preventScroll: true });
}

function playLink({ id, link: href, pictures: images }, key) {
  const link = make("a", "play");
  link.href = href;
  link.setAttribute("aria-label", `${images ? "Show" : "Play"} ${key}`);
  if (images) {
    link.classList.add("pictures");
    link.classList.toggle("several", images.length > 1);
    link.append(...images.map((image) => picture(image, id)));
    return link;
  }
  const video = make("video", "");
  Object.assign(video, { preload: "none", muted: true, defaultMuted: true });
  Object.assign(video, { loop: true, playsInline: true });
  video.setAttribute("aria-hidden", "true");
  link.append(video);
  return link;
}

// The id tells the image of a redo from the one before, which the browser still has.
function picture([src, label], id) {
  const image = make("img", "");
  Object.assign(image, { loading: "lazy", decoding: "async", alt: label ?? "" });
  if (label) image.dataset.layer = label;
  image.src = `${src}?${encodeURIComponent(id ?? "")}`;
  return image;
}

function furtherFiles(files) {
  return make("div", "kin files", make("span", "", "Files"), ...files.map(([href, name]) => {
    const link = make("a", "", make("bdi", "", name));
    link.href = href;
    return link;
  }));
}

function earlierVideos(videos) {
  return make("div", "kin earlier", make("span", "", "Earlier"), ...videos.map((video) => {
    const [href, id, prompt] = video;
    const link = make("a", "", make("bdi", "", id));
    link.href = href;
    if (prompt) link.title = prompt;
    return link;
  }));
}

function moreButton() {
  const button = make("button", "more", "More");
  Object.assign(button, { type: "button", hidden: true });
  button.setAttribute("aria-expanded", "false");
  return button;
}

function listOf(steps) {
  return make("div", "steps", ...steps.map(([purpose, command]) => {
    const words = command.split(" ").flatMap((word) => [" ", make("span", "", word)]).slice(1);
    const code = make("code", "", ...words);
    code.dir = "ltr";
    const button = make("button", "copy", "Copy");
    button.type = "button";
    button.setAttribute("aria-label", `Copy: ${purpose}`);
    return make("div", "", make("p", "", purpose), make("div", "line", code, button));
  }));
}

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// --- The filter: cards that changed come and go, but never the one that the user is using

const kept = new Set();
const isInUse = (card) => card.contains(document.activeElement) || card === playing
  || (previewed !== null && card.contains(previewed));

function filterAgain(changed) {
  const words = searched();
  let hasMoved = false;
  for (const card of [...changed, ...kept]) {
    const isMatch = matches(card, words);
    if (!isMatch && !card.hidden && isInUse(card)) {
      kept.add(card);
      continue;
    }
    kept.delete(card);
    if (card.hidden === isMatch) {
      card.hidden = !isMatch;
      hasMoved = true;
    }
  }
  for (const button of stateButtons) {
    const { state } = button.dataset;
    if (!state) continue;
    const count = tally.get(state) ?? 0;
    $("span", button).textContent = count.toLocaleString("en");
    button.hidden = !count && !chosen.has(state);
  }
  if (hasMoved) {
    shown = cards.filter((card) => !card.hidden);
    $("#count").ariaLive = "off"; // nobody asked for this change
    countShown();
    setTimeout(() => { $("#count").ariaLive = "polite"; }, 500);
    if (!current || current.hidden) makeCurrent(shown[0]);
  }
  if (theatre.open) showPlace();
}
grid.addEventListener("focusout", () => setTimeout(() => { if (kept.size) filterAgain([]); }));

// --- The line at the top

function clock(time) {
  const at = new Date(time);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? at.toLocaleTimeString("en-GB") : at.toLocaleString("en-GB");
}

const counted = (count, word) => `${count.toLocaleString("en")} ${word}`;

function tell() {
  document.body.classList.toggle("running", isGoingOn());
  if (phase === "starting") return;
  const count = (state) => tally.get(state) ?? 0;
  const [waiting, going, done] = ["waiting", "running", "done"].map(count);
  const ended = cards.length - waiting - going;
  const parts = [`${counted(done, "done")}`];
  if (ended > done) parts.push(counted(ended - done, "without a video"));
  if (going) parts.push(counted(going, "running"));
  if (waiting) parts.push(counted(waiting, "waiting"));
  const counts = parts.join(", ");
  const at = news ? clock(news.at) : "";
  const [head, tail, button] = {
    running: ["Running", `updated ${at}`],
    stopping: ["Stopping", `no more rows are submitted; updated ${at}`],
    ended: ["Ended", `updated ${at}; the batch ended`],
    stopped: ["Stopped", `updated ${at}; the batch stopped`],
    silent: ["No news", news ? `no news since ${at}` : "the batch left no news here", "Look again"],
    outdated: ["Changed", "the batch runs with other rows now", "Reload this page"],
  }[phase];
  live.dataset.phase = phase;
  $("#phase").textContent = head;
  $("#tally").textContent = counts;
  $("#news").textContent = phase === "stopped" && news.problem ? `${tail}: ${news.problem}` : tail;
  $("#again").hidden = !button;
  $("#again").textContent = button ?? "";
  $("#overall").value = ended;
  document.title = isGoingOn() ? `${ended}/${cards.length} · ${title}` : title;
  if (!isGoingOn() && news) showNotices(phase === "silent" ? killed : news.notices);
  const spoken = `${head}: ${counts}.`;
  const now = performance.now();
  if (now - spokenAt > SPEAKING || $("#told").dataset.phase !== phase) {
    if ($("#told").textContent !== spoken) $("#told").textContent = spoken;
    $("#told").dataset.phase = phase;
    spokenAt = now;
  }
}

const killed = [[
  "The batch may have been killed.",
  "Its jobs continue at the server. Run it again to continue; nothing is paid for twice.",
  [["Continue the batch", live.dataset.command]],
]];

function showNotices(notices) {
  const text = JSON.stringify(notices);
  if ($("#notices").dataset.shown === text) return;
  $("#notices").dataset.shown = text;
  $("#notices").replaceChildren(...notices.map(([summary, rest, steps], index) => {
    const line = make("p", "", make("b", "", summary), ` ${rest}`);
    line.id = `notice-${index + 1}`;
    const section = make("section", "notice", line, listOf(steps));
    section.setAttribute("aria-labelledby", line.id);
    return section;
  }));
}

$("#again").addEventListener("click", () => {
  if (phase === "outdated") location.reload();
  else lookAgain();
});

document.body.classList.add("running");
look();
