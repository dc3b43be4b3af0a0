// Equations by KaTeX, from what pymdownx.arithmatex leaves in a page: \(...\) in a line, \[...\] by itself.
for (const element of document.querySelectorAll(".arithmatex")) {
  const text = element.textContent.trim();
  katex.render(text.slice(2, -2), element, { displayMode: text.startsWith("\\["), throwOnError: false });
}
