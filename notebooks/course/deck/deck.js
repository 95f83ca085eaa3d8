// One slide at a time: arrows, space, Home, End; n shows the notes; the address keeps the slide.
const slides = [...document.querySelectorAll("section")];
let now = 0;
function show(i) {
  now = Math.max(0, Math.min(slides.length - 1, i));
  slides.forEach((slide, k) => slide.classList.toggle("now", k === now));
  document.getElementById("at").textContent = `${now + 1} / ${slides.length}`;
  history.replaceState(null, "", `#${now + 1}`);
  window.scrollTo(0, 0);
}
document.documentElement.classList.add("one");
document.querySelector("nav").hidden = false;
document.getElementById("back").onclick = () => show(now - 1);
document.getElementById("on").onclick = () => show(now + 1);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const onButton = event.target.tagName === "BUTTON" && event.key === " ";
  const to = { ArrowRight: now + 1, PageDown: now + 1, " ": now + 1, ArrowLeft: now - 1, PageUp: now - 1,
    Home: 0, End: slides.length - 1 }[event.key];
  if (event.key === "n") document.documentElement.classList.toggle("speaking");
  else if (to !== undefined && !onButton) { event.preventDefault(); show(to); }
});
const asked = () => show((parseInt(location.hash.slice(1), 10) || 1) - 1);
window.addEventListener("hashchange", asked);
asked();
