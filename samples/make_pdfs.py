"""Make the PDFs of samples/ from the texts in samples/sources; the same bytes on every run.

A line "= Heading" is a heading, "--- page" begins a page, "--- table" takes the lines up to the next blank line as a table
with bars between the cells, "--- drawing" is a page that holds a drawing and no text. Run: python samples/make_pdfs.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from reportlab.lib import colors
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, NextPageTemplate, PageBreak, PageTemplate, Paragraph, Table
from reportlab.platypus.flowables import Spacer

HERE = Path(__file__).parent
TWO_COLUMNS = {"tide-research"}
BODY = ParagraphStyle("body", fontName="Times-Roman", fontSize=9, leading=11, spaceAfter=4)
NARROW = ParagraphStyle("narrow", parent=BODY, fontSize=7.5, leading=9)
HEADING = ParagraphStyle("heading", fontName="Helvetica-Bold", fontSize=12, leading=15, spaceAfter=5)


class Drawing(Flowable):  # type: ignore[misc]
    """A boat on the sea, drawn in lines: a page without any text."""

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        self.size = (width, height - 20)
        return self.size

    def draw(self) -> None:
        canvas: Canvas = self.canv
        width, height = self.size
        for wave in range(6):
            canvas.bezier(0, wave * 22, width * 0.3, wave * 22 + 30, width * 0.7, wave * 22 - 30, width, wave * 22)
        hull = canvas.beginPath()
        hull.moveTo(width * 0.25, height * 0.4)
        hull.lineTo(width * 0.75, height * 0.4)
        hull.lineTo(width * 0.65, height * 0.3)
        hull.lineTo(width * 0.35, height * 0.3)
        hull.close()
        canvas.drawPath(hull, stroke=1, fill=0)
        canvas.line(width * 0.5, height * 0.4, width * 0.5, height * 0.8)
        canvas.circle(width * 0.8, height * 0.85, 18)


def story(text: str, body: ParagraphStyle) -> list[Flowable]:
    """The flowables of a source text."""
    flowables: list[Flowable] = []
    blocks = iter(block for part in text.split("\n\n") for block in split_marks(part))
    for block in blocks:
        if block == "--- page":
            flowables.append(PageBreak())
        elif block == "--- drawing":
            flowables += [PageBreak(), Drawing()]
        elif block.startswith("--- table"):
            rows = [[cell.strip() for cell in line.split("|")] for line in block.splitlines()[1:]]
            grid = [("GRID", (0, 0), (-1, -1), 0.3, colors.grey), ("FONTSIZE", (0, 0), (-1, -1), 7)]
            flowables += [Table(rows, style=grid, rowHeights=13), Spacer(1, 6)]
        elif block.startswith("= "):
            flowables.append(Paragraph(escaped(block[2:]), HEADING))
        elif block:
            flowables.append(Paragraph(escaped(block), body))
    return flowables


def split_marks(part: str) -> list[str]:
    """Marks and headings stand on lines of their own; a table takes the lines behind it."""
    blocks: list[str] = []
    lines = part.strip().splitlines()
    while lines:
        line = lines.pop(0)
        if line == "--- table":
            rows = [line]
            while lines and "|" in lines[0]:
                rows.append(lines.pop(0))
            blocks.append("\n".join(rows))
        else:
            blocks.append(line)
    return blocks


def escaped(text: str) -> str:
    """Text as reportlab's markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def make(source: Path, folder: Path) -> Path:
    """Write one PDF."""
    target = folder / f"{source.stem}.pdf"
    width, height = A5
    margin, gap = 15 * mm, 6 * mm
    two = source.stem in TWO_COLUMNS
    if two:
        column = (width - 2 * margin - gap) / 2
        frames = [Frame(margin + i * (column + gap), margin, column, height - 2 * margin, 0, 0, 0, 0) for i in range(2)]
    else:
        frames = [Frame(margin, margin, width - 2 * margin, height - 2 * margin, 0, 0, 0, 0)]
    document = BaseDocTemplate(str(target), pagesize=A5, invariant=1, title=source.stem, author="tscli samples")
    document.addPageTemplates([PageTemplate(id="page", frames=frames)])
    content = [block for block in story(source.read_text(encoding="utf-8"), NARROW if two else BODY)]
    document.build([NextPageTemplate("page"), *content])
    return target


if __name__ == "__main__":
    destination = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for path in sorted((HERE / "sources").glob("*.txt")):
        print(make(path, destination))
