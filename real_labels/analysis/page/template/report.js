"use strict";
(() => {
  const SHOWN = 20; // rows of a long table that are shown at first

  class DataTable {
    constructor(table) {
      this.table = table;
      this.body = table.tBodies[0];
      this.rows = [...this.body.rows];
      this.box = table.closest(".table");
      this.more = this.box.querySelector(".more");
      this.cut = this.box.querySelector(".cut"); // shown in print, and if no row matches the filter
      this.filter = this.box.querySelector("input");
      this.expanded = false;
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        head.querySelector("button").addEventListener("click", () => this.sort(head, column));
      });
      this.more.addEventListener("click", () => {
        this.expanded = !this.expanded;
        this.show();
      });
      this.filter?.addEventListener("input", () => this.show());
      this.show();
    }

    sort(head, column) {
      const isText = head.classList.contains("text");
      const before = head.getAttribute("aria-sort");
      // The first click sorts numbers in descending and names in ascending order.
      const down = before ? before === "ascending" : !isText;
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const cell = row.cells[column];
        if (isText) return cell.textContent.trim().toLowerCase();
        return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
      };
      const keyed = this.rows.map((row) => [value(row), row]);
      keyed.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null); // rows without a value come last
        const order = isText ? a.localeCompare(b, "en", { numeric: true }) : a - b;
        return down ? -order : order;
      });
      this.rows = keyed.map(([, row]) => row);
      this.body.append(...this.rows);
      this.show();
    }

    show() {
      const words = (this.filter?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
      let fitting = 0;
      for (const row of this.rows) {
        const text = words.length ? row.textContent.toLowerCase() : "";
        const fits = words.every((word) => text.includes(word));
        row.hidden = !fits || (!this.expanded && fitting >= SHOWN);
        fitting += fits;
      }
      const all = this.rows.length.toLocaleString("en");
      const shown = this.expanded ? fitting : Math.min(fitting, SHOWN);
      this.cut.textContent = !fitting ? "No row matches." : shown < this.rows.length ? `${shown} of ${all} rows.` : "";
      this.cut.classList.toggle("nothing", !fitting);
      this.more.hidden = fitting <= SHOWN;
      this.more.textContent = this.expanded ? `Show ${SHOWN} rows` : `Show all ${fitting.toLocaleString("en")} rows`;
    }

    reveal(row) {
      if (row.hidden) {
        this.expanded = true;
        if (this.filter) this.filter.value = "";
        this.show();
      }
      row.scrollIntoView({ block: "center" });
      row.classList.remove("found");
      void row.offsetWidth; // forces a reflow, which restarts the animation
      row.classList.add("found");
    }
  }

  const tables = new Map();
  for (const table of document.querySelectorAll("table.data")) tables.set(table, new DataTable(table));

  // Pointing at a mark or row highlights all marks and rows of the same model, class or pair.
  const byLink = new Map();
  for (const element of document.querySelectorAll("[data-link]")) {
    for (const link of element.dataset.link.split(" ")) {
      if (!byLink.has(link)) byLink.set(link, []);
      byLink.get(link).push(element);
    }
  }
  const partners = (element) => element.dataset.link.split(" ").flatMap((link) => byLink.get(link));
  const rowOf = (mark) => {
    const rows = partners(mark).filter((one) => one.tagName === "TR");
    const section = mark.closest("section");
    return rows.find((row) => section.contains(row)) ?? rows[0];
  };
  const tip = document.getElementById("tip");
  let lit = [];
  const clear = () => {
    for (const element of lit) element.classList.remove("lit");
    lit = [];
    tip.hidden = true;
  };
  const showTip = (mark, event) => {
    const row = rowOf(mark);
    if (!row) return;
    const heads = row.closest("table").tHead.rows[0].cells;
    tip.replaceChildren();
    [...row.cells].slice(0, 7).forEach((cell, column) => {
      const line = document.createElement(column ? "div" : "b");
      line.textContent = column ? `${heads[column].textContent.trim()}: ${cell.textContent.trim()}` : cell.textContent;
      tip.append(line);
    });
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
    tip.style.top = `${Math.max(8, Math.min(event.clientY + 14, innerHeight - height - 8))}px`;
  };
  document.addEventListener("pointerover", (event) => {
    clear();
    const element = event.target.closest("[data-link]");
    if (!element || element.classList.contains("gallery")) return;
    lit = partners(element).filter((one) => !one.classList.contains("gallery"));
    for (const partner of lit) partner.classList.add("lit");
    if (element.closest("figure")) showTip(element, event);
  });
  document.addEventListener("click", (event) => {
    const mark = event.target.closest("figure [data-link]");
    if (!mark) return;
    clear();
    const gallery = partners(mark).find((one) => one.classList.contains("gallery"));
    if (gallery) gallery.scrollIntoView({ block: "start" });
    else {
      const row = rowOf(mark);
      if (row) tables.get(row.closest("table")).reveal(row);
    }
  });

  // Readers of a printed page cannot unfold anything, so everything is unfolded for print.
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });

  // Highlights the section that is being read in the navigation bar.
  const anchors = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const bar = document.querySelector("nav");
  const mark = () => {
    const sections = [...document.querySelectorAll("main section")];
    const here = sections.filter((one) => one.getBoundingClientRect().top < 120).at(-1);
    for (const [key, anchor] of anchors) {
      const isHere = here?.id === key;
      if (isHere && !anchor.classList.contains("here")) {
        bar.scrollTo({ left: anchor.offsetLeft - bar.clientWidth / 2 + anchor.offsetWidth / 2 });
      }
      anchor.classList.toggle("here", isHere);
    }
  };
  document.addEventListener("scroll", mark, { passive: true });
  mark();
})();
