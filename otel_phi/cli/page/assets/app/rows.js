// A list of any length of which those rows are drawn that are seen.

const SPARE = 8; // rows drawn above and below, so that a quick hand does not see them come

/** Rows of one height, drawn as they are seen.
 *
 * rows: any values; height: of a row in pixels; draw(row, place): its content; cursor: place of the row that keys act on, kept in
 * sight; role, label: for those who do not see it; rowProps(row, place): more attributes of a row.
 */
function Rows({ rows, height, draw, cursor = -1, role = "grid", rowRole = "row", label, rowProps, onOpen, onTwice, id = "rows" }) {
  const box = useRef(null);
  const [, seen] = useSize(box);
  const [top, setTop] = useState(0);
  const frame = useRef(0);
  const onScroll = () => {
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(() => box.current && setTop(box.current.scrollTop));
  };
  useLayoutEffect(() => {
    const element = box.current;
    if (cursor < 0 || !element || !seen) return;
    // Keys that move along the rows leave the button that was pressed before: Enter is the row's now.
    if (document.activeElement?.matches(".bar button, .errors button, .tabs button")) element.focus({ preventScroll: true });
    const at = cursor * height;
    if (at < element.scrollTop) element.scrollTop = at;
    else if (at + height > element.scrollTop + seen) element.scrollTop = at + height - seen;
  }, [cursor, height, seen > 0]);
  const first = Math.max(0, Math.floor(top / height) - SPARE);
  const last = Math.min(rows.length, Math.ceil((top + seen) / height) + SPARE);
  const drawn = [];
  for (let place = first; place < last; place += 1) {
    const row = rows[place];
    const more = rowProps ? rowProps(row, place) : {};
    drawn.push(html`<div key=${row.key ?? row.id} id=${`${id}-${place}`} role=${rowRole} aria-rowindex=${place + 1} ...${more}
      class=${`row ${place === cursor ? "cursor" : ""} ${more.class ?? ""}`} style=${{ top: `${place * height}px`, height: `${height}px` }}
      onClick=${() => onOpen?.(row, place)} onDblClick=${() => onTwice?.(row, place)}>${draw(row, place)}</div>`);
  }
  return html`<div class="rows" ref=${box} onScroll=${onScroll} tabindex="0" role=${role} aria-label=${label} aria-rowcount=${rows.length}
    aria-activedescendant=${cursor >= first && cursor < last ? `${id}-${cursor}` : undefined}>
    <div class="rows-all" style=${{ height: `${rows.length * height}px` }}>${drawn}</div>
  </div>`;
}
