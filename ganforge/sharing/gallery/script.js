"use strict";

// Before and after: the range input lies invisible over the pictures, so that mouse, touch and keyboard all move it.
function show(input) {
  const box = input.parentElement;
  const at = Number(input.value);
  box.style.setProperty("--at", at + "%");
  box.classList.toggle("low", at < 20);
  box.classList.toggle("high", at > 80);
}

for (const input of document.querySelectorAll(".compare input")) {
  input.addEventListener("input", () => show(input));
  show(input); // browsers keep values over a reload
}

for (const all of document.querySelectorAll(".all input")) {
  all.addEventListener("input", () => {
    for (const input of all.closest("section").querySelectorAll(".compare input")) {
      input.value = all.value;
      show(input);
    }
  });
}

// The timeline: one picture, whose source changes.
for (const timeline of document.querySelectorAll(".timeline")) {
  const frames = JSON.parse(timeline.dataset.frames);
  const range = timeline.querySelector("input");
  const image = timeline.querySelector("img");
  const output = timeline.querySelector("output");
  const play = timeline.querySelector(".play");
  if (!range) continue;
  let timer = null;
  let loaded = null;

  function preload() {
    loaded = loaded || frames.map(([, file]) => Object.assign(new Image(), { src: file }));
  }

  function turn(index) {
    const [step, file] = frames[index];
    range.value = index;
    range.setAttribute("aria-valuetext", "step " + step);
    image.src = file;
    output.textContent = "step " + step.toLocaleString("en");
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.classList.remove("on");
    play.setAttribute("aria-label", "Play");
  }

  function start() {
    preload();
    const last = frames.length - 1;
    if (Number(range.value) === last) turn(0);
    play.classList.add("on");
    play.setAttribute("aria-label", "Pause");
    // The whole training takes about eight seconds, but no frame is too short to be seen.
    timer = setInterval(() => {
      turn(Number(range.value) + 1);
      if (Number(range.value) === last) stop();
    }, Math.min(600, Math.max(120, 8000 / frames.length)));
  }

  range.addEventListener("pointerdown", preload, { once: true });
  range.addEventListener("input", () => {
    stop();
    turn(Number(range.value));
  });
  play.addEventListener("click", () => (timer === null ? start() : stop()));
  turn(Number(range.value));
}
