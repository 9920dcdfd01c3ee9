// A picture that can be clicked, and walked with the arrow keys: tells the kernel which of its pixels was meant.
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "mnist-helpers-picture";
  frame.tabIndex = 0;
  frame.setAttribute("role", "application");
  frame.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take the arrow keys for itself
  const image = document.createElement("img");
  const caret = document.createElement("div");
  caret.className = "mnist-helpers-caret";
  const texts = document.createElement("div");
  texts.setAttribute("aria-hidden", "true"); // the label of the frame says what is shown
  frame.append(image, texts, caret);
  el.append(frame);

  const send = ([x, y], pressed) => {
    const inside = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value)));
    const count = model.get("picked")[3] + 1; // so that the same place can be picked twice
    model.set("picked", [inside(x, image.naturalWidth), inside(y, image.naturalHeight), pressed ? 1 : 0, count]);
    model.save_changes();
  };
  const place = () => {
    const ratio = image.clientWidth / image.naturalWidth || 1;
    const [x, y] = model.get("cursor");
    const [width, height] = model.get("step");
    Object.assign(caret.style, {
      left: `${x * ratio}px`, top: `${y * ratio}px`, width: `${width * ratio}px`, height: `${height * ratio}px`,
    });
  };
  const write = () => {
    const ratio = image.clientWidth / image.naturalWidth || 1;
    texts.replaceChildren(...model.get("labels").map(([x, y, text, size, colour, anchor, bold]) => {
      const span = document.createElement("span");
      span.className = "mnist-helpers-label";
      span.textContent = text;
      Object.assign(span.style, {
        left: `${x * ratio}px`, top: `${y * ratio}px`, color: colour, fontWeight: bold ? "bold" : "normal",
        fontSize: `${(size * ratio) / model.get("scale")}px`,
        transform: `translate(${{ l: 0, m: -50, r: -100 }[anchor[0]]}%, ${{ a: 0, m: -50 }[anchor[1]] ?? -100}%)`,
      });
      return span;
    }));
  };
  const draw = () => {
    image.src = model.get("url");
  };
  const describe = () => {
    image.alt = model.get("alt");
    frame.setAttribute("aria-label", `${model.get("alt")} Arrow keys move the selection, Enter picks it.`);
  };
  image.addEventListener("load", () => {
    image.style.width = `${image.naturalWidth * model.get("scale")}px`;
    image.style.imageRendering = model.get("scale") > 1 ? "pixelated" : "auto"; // squares stay square, text smooth
    place();
    write();
  });
  frame.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    const ratio = image.naturalWidth / box.width;
    frame.focus();
    send([(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio], true);
  });
  frame.addEventListener("keydown", (event) => {
    const [x, y] = model.get("cursor");
    const [width, height] = model.get("step");
    if (event.key in ARROWS) {
      const [right, down] = ARROWS[event.key];
      send([x + right * width, y + down * height], false);
    } else if (event.key === "Enter" || event.key === " ") {
      send([x, y], true);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  model.on("change:url", draw);
  model.on("change:cursor", place);
  model.on("change:alt", describe);
  model.on("change:labels", () => {
    if (image.complete && image.src === model.get("url")) write(); // else once the new picture is there
  });
  const observer = new ResizeObserver(() => {
    place();
    write();
  });
  observer.observe(image); // a narrower window shrinks the picture
  draw();
  describe();
  return () => observer.disconnect();
}

export default { render };
