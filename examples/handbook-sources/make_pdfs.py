#!/usr/bin/env python3
"""Writes the PDF files of examples/handbook from the Markdown files beside this script.

    pip install fpdf2==2.8.9
    apt-get install fonts-wqy-microhei
    python3 examples/handbook-sources/make_pdfs.py

A line `---` starts a new page. The Chinese guide embeds the few glyphs it needs of WenQuanYi
Micro Hei (Apache License 2.0). The files are the same, byte for byte, each time.
"""

from datetime import datetime, timezone
from pathlib import Path

from fpdf import FPDF

HERE = Path(__file__).resolve().parent
HANDBOOK = HERE.parent / "handbook"
CHINESE_FONT = "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"
DOCUMENTS = [
    ("history.md", "lighthouse/history.pdf", False),
    ("ringing.md", "birds/ringing-protocol.pdf", False),
    ("guide.md", "lighthouse/灯塔参观指南.pdf", True),
]


def write(source: Path, target: Path, chinese: bool) -> None:
    pdf = FPDF(format="A4")
    pdf.set_creation_date(datetime(2024, 1, 1, tzinfo=timezone.utc))
    pdf.set_margin(25)
    pdf.set_auto_page_break(True, margin=20)
    if chinese:
        pdf.add_font("body", fname=CHINESE_FONT, collection_font_number=0)
    font = "body" if chinese else "helvetica"
    bold = "" if chinese else "B"
    blocks = [block.strip() for block in source.read_text(encoding="utf-8").split("\n\n")]
    pdf.set_title(blocks[0].lstrip("# "))
    pdf.set_author("Skerrow Light Trust")
    pdf.add_page()
    for block in filter(None, blocks):
        if block == "---":
            pdf.add_page()
        elif block.startswith("# "):
            pdf.set_font(font, bold, 20)
            pdf.multi_cell(0, 12, block[2:], new_x="LMARGIN", new_y="NEXT")
            pdf.ln(4)
        elif block.startswith("## "):
            pdf.ln(2)
            pdf.set_font(font, bold, 14)
            pdf.multi_cell(0, 9, block[3:], new_x="LMARGIN", new_y="NEXT")
            pdf.ln(1)
        else:
            pdf.set_font(font, "", 11)
            pdf.multi_cell(0, 6, block, align="L", new_x="LMARGIN", new_y="NEXT")
            pdf.ln(3)
    pdf.output(str(target))


if __name__ == "__main__":
    for source, target, chinese in DOCUMENTS:
        write(HERE / source, HANDBOOK / target, chinese)
