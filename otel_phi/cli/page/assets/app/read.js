// The data of the page: base64 in a script that is none, deflated, a record a line.

/** Reads the page's data.
 *
 * Throws an Error in words where it is damaged or the browser is too old.
 */
async function readPage() {
  if (typeof DecompressionStream === "undefined") throw new Error("This browser cannot inflate data (DecompressionStream); one of 2023 or newer can.");
  const holder = document.getElementById("data");
  const bytes = fromBase64(holder.textContent);
  holder.remove(); // the text is not needed twice
  const page = new Page();
  try {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate")).pipeThrough(new TextDecoderStream());
    let rest = "";
    for (const reader = stream.getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) page.take(line);
    }
  } catch (error) {
    throw new Error(`The data of this page is damaged (${error.message || error.name}). Write it again: otel-phi show PATH --html FILE.`);
  }
  if (!page.whole) throw new Error("The data of this page is cut short. Write it again: otel-phi show PATH --html FILE.");
  return page;
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < binary.length; place += 1) bytes[place] = binary.charCodeAt(place);
  return bytes;
}
