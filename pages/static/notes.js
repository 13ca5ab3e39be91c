// Puts a note that was sent but did not arrive, because the session had ended or the
// service was away, back into its field when its writer comes back to the page.

const form = document.querySelector("form[data-note]");
const field = form?.elements.text;
const place = `note ${document.querySelector(".me-name").title} ${location.pathname}`;

function arrived(text) {
  return [...document.querySelectorAll(".note-text")].some(note => note.textContent.trim() === text.trim());
}

try {
  const text = sessionStorage.getItem(place);
  sessionStorage.removeItem(place);
  if (field && text && !arrived(text)) field.value = text;
  form?.addEventListener("submit", () => sessionStorage.setItem(place, field.value));
} catch { /* this browser stores nothing */ }
