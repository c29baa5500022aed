"""The look of a report's page: light and dark, readable on paper, no file beside it."""

from __future__ import annotations

from reports.figures.dark import dark_rules

_SHEET = """
:root {
  color-scheme: light dark;
  --ink: #1f2328; --muted: #59636e; --rule: #d1d9e0; --ground: #ffffff; --raised: #f6f8fa; --link: #0969da;
  --note: #0969da; --warning: #9a6700; --caution: #cf222e;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ink: #f0f6fc; --muted: #9198a1; --rule: #3d444d; --ground: #0d1117; --raised: #151b23; --link: #4493f8;
    --note: #4493f8; --warning: #d29922; --caution: #f85149;
  }
}
* { box-sizing: border-box }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem; background: var(--ground); color: var(--ink);
  font: 16px/1.65 system-ui, -apple-system, "Segoe UI", "Hiragino Sans", "Noto Sans", "Noto Sans CJK JP",
    "Yu Gothic UI", Meiryo, sans-serif;
  overflow-wrap: anywhere;
}
html:lang(ja) body { line-height: 1.8 }
h1 { font-size: 1.7rem; line-height: 1.3; margin: 0 0 1rem }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--rule) }
h3 { font-size: 1.08rem; margin: 1.75rem 0 .5rem }
h2 a, h3 a { color: inherit; text-decoration: none }
h2 a:hover, h3 a:hover { text-decoration: underline }
p, ul, pre, .scroll, figure, details, .alert { margin: 0 0 1rem }
ul { padding-left: 1.4rem }
a { color: var(--link) }
nav { border-left: 3px solid var(--rule); padding-left: 1rem; margin: 0 0 1.5rem }
nav ol { list-style: none; margin: 0; padding: 0; columns: 2 18rem; font-size: .93rem }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Noto Sans Mono", monospace; font-size: .86em }
code { background: var(--raised); padding: .1em .3em; border-radius: 4px }
pre {
  background: var(--raised); border: 1px solid var(--rule); border-radius: 6px; padding: .75rem 1rem; overflow-x: auto;
  white-space: pre-wrap; line-height: 1.5;
}
pre code { background: none; padding: 0; font-size: 1em }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal }
th, td { border: 1px solid var(--rule); padding: .35rem .65rem; text-align: left; vertical-align: top }
th { background: var(--raised); white-space: nowrap }
td { max-width: 32rem; overflow-wrap: break-word }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
figure { overflow-x: auto }
figure svg { display: block; max-width: 100%; min-width: 34rem; height: auto }
figure svg * { stroke-linejoin: round; stroke-linecap: butt }
.alert {
  border-left: 4px solid var(--kind); background: var(--raised); padding: .6rem 1rem; border-radius: 0 6px 6px 0;
}
.alert b { color: var(--kind); display: block; font-size: .9rem }
.note { --kind: var(--note) } .warning { --kind: var(--warning) } .caution { --kind: var(--caution) }
summary { cursor: pointer; color: var(--muted) }
details[open] > summary { margin-bottom: .5rem }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt }
  nav { display: none }
  a { color: inherit; text-decoration: none }
  h2, h3 { break-after: avoid }
  figure, tr, .alert { break-inside: avoid }
  .scroll, figure { overflow: visible }
  figure svg { min-width: 0 }
  details::details-content { content-visibility: visible; height: auto }
}
"""


def style_sheet() -> str:
    """The style sheet of the page and of the figures in it."""
    return f"{_SHEET.strip()}\n{dark_rules(within='figure')}"
