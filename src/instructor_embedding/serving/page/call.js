// The call that gives the vectors on screen, in Python, curl and on the command line.
const FEW = 3; // texts that are written out

const python = (text) => JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function calls({ model, a, b, texts, file, column, keyed }) {
  const shown = texts.slice(0, FEW);
  const more = texts.length > FEW;
  return {
    python: [
      "import numpy as np",
      "from openai import OpenAI  # or, without a server: from instructor_embedding import INSTRUCTOR",
      "",
      `client = OpenAI(base_url="${location.origin}/v1", api_key="${keyed ? "YOUR KEY" : "none"}")`,
      "texts = [",
      ...shown.map((text) => `    ${python(text)},`),
      ...(more ? [`    # ... ${texts.length - FEW} more`] : []),
      "]",
      `a = ${python(a)}`,
      `b = ${python(b)}`,
      "",
      "def vectors(instruction):",
      `    reply = client.embeddings.create(model=${python(model)}, input=texts, extra_body={"instruction": instruction})`,
      "    return np.array([row.embedding for row in reply.data], np.float32)",
      "",
      "print((vectors(a) @ vectors(a).T).round(2))",
      "print((vectors(b) @ vectors(b).T).round(2))",
    ].join("\n"),
    curl: [a, b].map((instruction) => [
      `curl ${location.origin}/v1/embeddings \\`,
      ...(keyed ? ['  -H "authorization: Bearer $INSTRUCTOR_API_KEY" \\'] : []),
      "  -H 'content-type: application/json' \\",
      `  -d ${shell(JSON.stringify({ model, instruction, input: shown }, null, 2))}`,
    ].join("\n")).join("\n\n"),
    cli: [
      ...(file ? [] : ["# texts.txt: one text per line"]),
      ...["a", "b"].map((side) => [
        `instructor-embed encode ${shell(file ?? "texts.txt")}${model === "instructor-mini" ? "" : ` -m ${shell(model)}`}${file && column !== "text" ? ` --text-column ${shell(column)}` : ""} \\`,
        `  -i ${shell(side === "a" ? a : b)} -o ${side}.npy`,
      ].join("\n")),
    ].join("\n"),
  };
}

/** Wire the tabs, as a screen reader expects them: arrow keys change the tab. */
export function tabs(buttons, panel, content) {
  const choose = (button) => {
    for (const other of buttons) {
      other.setAttribute("aria-selected", String(other === button));
      other.tabIndex = other === button ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", button.id);
    panel.textContent = content()[button.id.replace("tab-", "")] ?? "";
  };
  buttons.forEach((button, position) => {
    button.addEventListener("click", () => choose(button));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = buttons[(position + step + buttons.length) % buttons.length];
      choose(next);
      next.focus();
    });
  });
  return () => choose(buttons.find((button) => button.getAttribute("aria-selected") === "true"));
}
