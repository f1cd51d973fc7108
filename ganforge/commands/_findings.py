"""A report as people read it: a table of the folders, then the findings."""

from __future__ import annotations

from statistics import median

import click
from rich.table import Table

from ganforge.builtin.datasets.inspection.gaps import LARGE
from ganforge.builtin.datasets.inspection.report import Case, Finding, Report, Severity, Summary, counted
from ganforge.commands._common import paragraph, wide_console

EXAMPLES = 3
ROWS = 30
_LEAST_GAP = 0.1
_MORE = {"brightness": "brighter", "red": "redder", "blue": "bluer"}
_INDENT = " " * 9
_LAYOUTS = {
    "two_domains": "two domains",
    "pairs": "pairs side by side",
    "two_folders": "pairs in two folders",
    "classes": "a folder for each class",
    "one_folder": "one folder",
}
_COLOURS: dict[Severity, str] = {"error": "red", "warning": "yellow", "note": "cyan"}


def print_report(report: Report, everything: bool) -> None:
    """Print a report; with `everything` all folders and cases, not only the first."""
    data = report.data
    console = wide_console(markup=False)
    click.secho(data.layout.root.resolve().name, bold=True, nl=False)
    click.echo(f": {counted(data.pictures, 'picture')}, {_LAYOUTS[data.layout.kind]}\n")
    console.print(_folders(data.summaries, everything))
    for remark in data.layout.remarks():
        click.echo("\n" + paragraph("", _printable(remark)))
    told = [gap for gap in report.gaps if gap.spreads >= _LEAST_GAP]
    if told:
        gaps = ", ".join(f"{gap.high} is {_MORE[gap.kind]} than {gap.low} by {gap.spreads:.1f}" for gap in told)
        click.echo("\n" + paragraph("", f"{gaps} times their spread ({LARGE} is much)"))
    for finding in report.findings:
        click.echo()
        _print_finding(finding, everything)
    click.echo()
    click.secho(_verdict(report), bold=True)


def _folders(summaries: tuple[Summary, ...], everything: bool) -> Table:
    shown = summaries if everything else summaries[:ROWS]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("folder", no_wrap=True)
    table.add_column("pictures", justify="right", no_wrap=True)
    table.add_column("MiB", justify="right", no_wrap=True)
    for head in ("size in px", "format", "mode", "bits", "brightness"):
        table.add_column(head)
    for summary in shown:
        table.add_row(
            _printable(summary.folder.name),
            f"{len(summary.pictures):,}",
            f"{summary.bytes / 2**20:.1f}",
            _sizes(summary),
            *(_shares(summary.counts(which)) for which in ("format", "mode", "bits")),
            "{:.2f} ± {:.2f}".format(*summary.brightness) if summary.readable else "",
        )
    if hidden := len(summaries) - len(shown):
        table.add_row(f"and {hidden:,} more: --all")
    return table


def _sizes(summary: Summary) -> str:
    sizes = summary.sizes
    if len(sizes) <= 1:
        return "".join(sizes)
    sides = [picture.shorter_px for picture in summary.readable]
    return f"shorter side {min(sides)} to {max(sides)}, median {median(sides):.0f} ({len(sizes):,} sizes)"


def _shares(counts: dict[str, int]) -> str:
    """`RGB`, or `RGB, L 7`: only what is the exception needs a number."""
    first, *rest = counts or {"": 0}
    return ", ".join([first, *(f"{name} {counts[name]:,}" for name in rest)])


def _print_finding(finding: Finding, everything: bool) -> None:
    head, *rest = paragraph(_INDENT, finding.text).splitlines()
    click.secho(f"{finding.severity:{len(_INDENT)}}", fg=_COLOURS[finding.severity], bold=True, nl=False)
    click.secho("\n".join([head.removeprefix(_INDENT), *rest]), bold=True)
    shown = finding.cases if everything else finding.cases[:EXAMPLES]
    for case in shown:
        click.echo(_INDENT + _case(case, finding.sign))
    if hidden := len(finding.cases) - len(shown):
        click.echo(f"{_INDENT}and {hidden:,} more: --all")
    if finding.cure:
        click.secho(paragraph(f"{_INDENT}→ ", finding.cure), fg="green")


def _case(case: Case, sign: str) -> str:
    return _printable(sign.join(case.files) + (f" ({case.detail})" if case.detail else ""))


def _printable(text: str) -> str:
    """A text that names files, without what is not printable: names may hold a terminal's commands too."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _verdict(report: Report) -> str:
    counts = [counted(count, severity) for severity in _COLOURS if (count := report.count(severity))]
    return ", ".join(counts) or "nothing to find fault with"
