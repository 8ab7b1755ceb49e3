"use strict";

const MOST_AT_ONCE = 64;
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

const send = async files => {
  const body = new FormData();
  for (const file of files) body.append("file", file, file.name || "photo");
  const response = await fetch("label", {method: "POST", body});
  const found = await response.json().catch(() => ({error: `The server answered ${response.status}.`}));
  if (!found.results) throw new Error(found.error);
  return found.results;
};

const label = async files => {
  const photos = [...files];
  if (!photos.length) return;
  let labelled = 0;
  try {
    for (let start = 0; start < photos.length; start += MOST_AT_ONCE) {
      const some = photos.slice(start, start + MOST_AT_ONCE);
      say(`Looking at ${photos.length === 1 ? "the photo" : `${start + some.length} of ${photos.length} photos`}…`);
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
