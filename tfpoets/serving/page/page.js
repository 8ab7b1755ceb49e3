"use strict";

// The limits of a request. MAX_BYTES is below the server's limit, because the form has headers as well.
const MAX_PHOTOS = 64, MAX_BYTES = 30e6;
const MAX_TRIES = 10;
const byId = id => document.getElementById(id);
const showStatus = text => { byId("status").textContent = text; };

const createElement = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

const createRow = ({label, score}) => {
  const bar = createElement("progress", {value: score, max: 1});
  bar.setAttribute("aria-hidden", "true"); // the next cell has the same value as a number
  return createElement("tr", {}, createElement("th", {scope: "row", textContent: label}),
    createElement("td", {}, bar), createElement("td", {textContent: `${(100 * score).toFixed(1)}%`}));
};

const createResult = (file, result) => {
  const image = createElement("img", {alt: "", src: URL.createObjectURL(file)});
  image.addEventListener("error", () => image.remove());
  const fileName = createElement("small", {textContent: file.name});
  if (result.error) {
    const reason = `${result.error[0].toUpperCase()}${result.error.slice(1)}.`;
    return createElement("li", {className: "result"}, image, createElement("div", {},
      createElement("h2", {className: "error"}, "This file cannot be labelled", fileName),
      createElement("p", {textContent: reason})));
  }
  const title = result.unknown ? "Unknown: unlike the training photos"
    : result.unsure ? "Unsure: no label is certain enough" : result.labels[0].label;
  return createElement("li", {className: "result"}, image, createElement("div", {},
    createElement("h2", {}, title, fileName),
    createElement("table", {}, createElement("tbody", {}, ...result.labels.map(createRow)))));
};

const wait = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));

// Divide photos into batches that each fit into a request.
const splitIntoBatches = photos => {
  const batches = [];
  let bytes = Infinity;
  for (const photo of photos) {
    if (bytes + photo.size > MAX_BYTES || batches.at(-1).length === MAX_PHOTOS) {
      batches.push([]);
      bytes = 0;
    }
    batches.at(-1).push(photo);
    bytes += photo.size;
  }
  return batches;
};

const fetchResults = async (files, tries = MAX_TRIES) => {
  if (files[0].size > MAX_BYTES) {
    return [{error: `it is larger than ${MAX_BYTES / 1e6} MB`}];
  }
  const body = new FormData();
  for (const file of files) body.append("file", file, file.name || "photo");
  const response = await fetch("label", {method: "POST", body});
  if (response.status === 503 && tries > 1) { // the server is busy
    await wait(Number(response.headers.get("Retry-After")) || 1);
    return fetchResults(files, tries - 1);
  }
  const content = await response.json().catch(() => ({error: `The server returned an error (${response.status}).`}));
  if (!content.results) throw new Error(content.error);
  return content.results;
};

const labelPhotos = async files => {
  const photos = [...files];
  if (!photos.length) return;
  let sent = 0, labelled = 0;
  try {
    for (const batch of splitIntoBatches(photos)) {
      sent += batch.length;
      showStatus(photos.length === 1 ? "Labelling the photo…" : `Labelling ${sent} of ${photos.length} photos…`);
      const results = await fetchResults(batch);
      labelled += results.filter(result => !result.error).length;
      byId("results").prepend(...results.map((result, i) => createResult(batch[i], result)));
    }
    showStatus(photos.length === 1 ? byId("results").querySelector("h2").firstChild.textContent
      : `${labelled} of ${photos.length} photos labelled.`);
  } catch (error) {
    showStatus(error instanceof TypeError ? "The server cannot be reached." : error.message);
  }
};

for (const id of ["files", "camera"]) {
  byId(id).addEventListener("change", event => {
    labelPhotos(event.target.files).finally(() => { event.target.value = ""; });
  });
}
const highlightDropArea = isOver => byId("drop").classList.toggle("over", isOver);
document.addEventListener("dragover", event => { event.preventDefault(); highlightDropArea(true); });
document.addEventListener("dragleave", () => highlightDropArea(false));
document.addEventListener("drop", event => {
  event.preventDefault();
  highlightDropArea(false);
  labelPhotos(event.dataTransfer.files);
});
document.addEventListener("paste", event => labelPhotos(event.clipboardData.files));
