"use strict";

// Of a request; the server takes a little more.
const MAX_PHOTOS = 64, MOST_BYTES = 30e6;
const TRIES = 10;
const byId = id => document.getElementById(id);
const say = text => { byId("status").textContent = text; };

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const row = ({label, score}) => {
  const bar = element("progress", {value: score, max: 1});
  bar.setAttribute("aria-hidden", "true"); // the number beside it says the same
  return element("tr", {}, element("th", {scope: "row", textContent: label}), element("td", {}, bar),
    element("td", {textContent: `${(100 * score).toFixed(1)} %`}));
};

const answer = (file, result) => {
  const image = element("img", {alt: "", src: URL.createObjectURL(file)});
  image.addEventListener("error", () => image.remove());
  const name = element("small", {textContent: file.name});
  if (result.error) {
    const reason = `${result.error[0].toUpperCase()}${result.error.slice(1)}.`;
    return element("li", {className: "result"}, image, element("div", {},
      element("h2", {className: "error"}, "No answer", name), element("p", {textContent: reason})));
  }
  const title = result.unknown ? "Unknown: unlike the training photos" : result.labels[0].label;
  return element("li", {className: "result"}, image, element("div", {},
    element("h2", {}, title, name), element("table", {}, element("tbody", {}, ...result.labels.map(row)))));
};

const wait = seconds => new Promise(done => setTimeout(done, 1000 * seconds));

// Photos in groups that a request may hold.
const grouped = photos => {
  const groups = [];
  let bytes = Infinity;
  for (const photo of photos) {
    if (bytes + photo.size > MOST_BYTES || groups.at(-1).length === MAX_PHOTOS) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1).push(photo);
    bytes += photo.size;
  }
  return groups;
};

const send = async (files, tries = TRIES) => {
  if (files[0].size > MOST_BYTES) {
    return [{error: `It has more than ${MOST_BYTES / 1e6} MB`}];
  }
  const body = new FormData();
  for (const file of files) body.append("file", file, file.name || "photo");
  const response = await fetch("label", {method: "POST", body});
  if (response.status === 503 && tries > 1) { // too much to do
    await wait(Number(response.headers.get("Retry-After")) || 1);
    return send(files, tries - 1);
  }
  const found = await response.json().catch(() => ({error: `The server answered ${response.status}.`}));
  if (!found.results) throw new Error(found.error);
  return found.results;
};

const label = async files => {
  const photos = [...files];
  if (!photos.length) return;
  let labelled = 0;
  try {
    let looked = 0;
    for (const some of grouped(photos)) {
      looked += some.length;
      say(`Looking at ${photos.length === 1 ? "the photo" : `${looked} of ${photos.length} photos`}…`);
      const results = await send(some);
      labelled += results.filter(result => !result.error).length;
      byId("results").prepend(...results.map((result, i) => answer(some[i], result)));
    }
    say(photos.length === 1 ? byId("results").querySelector("h2").firstChild.textContent
      : `${labelled} of ${photos.length} photos labelled.`);
  } catch (error) {
    say(error instanceof TypeError ? "The server cannot be reached." : error.message);
  }
};

for (const id of ["files", "shot"]) {
  byId(id).addEventListener("change", event => {
    label(event.target.files).finally(() => { event.target.value = ""; });
  });
}
const over = on => byId("drop").classList.toggle("over", on);
document.addEventListener("dragover", event => { event.preventDefault(); over(true); });
document.addEventListener("dragleave", () => over(false));
document.addEventListener("drop", event => {
  event.preventDefault();
  over(false);
  label(event.dataTransfer.files);
});
document.addEventListener("paste", event => label(event.clipboardData.files));
