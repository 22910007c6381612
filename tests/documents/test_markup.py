"""HTML gives what a browser shows, whatever the page forgets to close or says of itself."""

from __future__ import annotations

import pytest

from tscli.documents.markup import html_text


def text(page: str, **options: bool) -> str:
    return html_text(page.encode(), **options).text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "page",
    [
        "<!doctype html><html><head><meta charset=utf-8><title>T</title><body><p>Body</html>",
        "<title>T</title><style>p{}</style><p>Body",
        "<html><head><script>var s='</p>';</script><title>T</title><link rel=x><p>Body",
        "<html><head><title>T</title></head><p>Body</body></html>",
        "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title>T</title><script src='a'/></head>"
        "<body><a id='x'/>Body</body></html>",
        "<title>T</title><noscript><p>Body</p></noscript><div id=app></div>",
        "<title>T</title><frameset><frame src=a><noframes><p>Body</p></noframes></frameset>",
        "<title>T</title><iframe srcdoc='&lt;p>Body'></iframe>",
    ],
)
def test_no_page_loses_its_body(page: str) -> None:
    assert text(page) == "T\n\nBody"


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("<table><tr><th>Name<th>Fee<tr><td>Ida<td>5</table>", "Name | Fee\n\nIda | 5"),
        ("<table><tr><td><p>Name</p></td><td><p>Fee</p></td></tr></table>after", "Name | Fee\n\nafter"),
        ("Port <select><option>Holm<option>Lund</select>", "Port\nHolm\nLund"),
        ("<button>Save</button><button>Stop</button><input type=submit value=Go>", "Save Stop Go"),
        ("<input value='typed 4310'><input type=hidden value=no><input type=checkbox value=on>", "typed 4310"),
        ("<ul><li>one<li>two</ul>", "one\ntwo"),
        ("<ol start=3><li>a<li>b<li value=9>c</ol>", "3. a\n4. b\n9. c"),
        ("see <img src=x alt='a map'>.", "see a map ."),
        ("<svg><defs><text>no</text></defs><path d='M0 0L9 9'/><text>words</text></svg>", "words"),
        ("10<sup>6</sup> m<sup>2</sup> of x<sup>[1]</sup>", "10\u2076 m\u00b2 of x[1]"),
        ("<ruby>\u6f22<rp>(</rp><rt>kan</rt><rp>)</rp></ruby> <q>hi</q>", "\u6f22(kan) \u201chi\u201d"),
        ("<span style='display: block'>a</span><span style='display:flex'>b</span>", "a\n\nb"),
        ("a&nbsp;b &#146;c&#146; &amp;amp; AT&T &copy", "a b \u2019c\u2019 &amp; AT&T \u00a9"),
    ],
)
def test_what_stands_apart_in_a_browser_stands_apart(page: str, shown: str) -> None:
    assert text(page) == shown


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>no</p>",
        "<p style='color:red; DISPLAY : none'>no</p>",
        "<p style='visibility:hidden'>no</p>",
        "<div style='display:none !important'><p>no</p></div>",
        "<template>no</template>",
        "<script>no</script><style>no</style><!-- no -->",
        "<dialog>no</dialog>",
        "<video>no</video>",
        "<span class='katex-html' aria-hidden=true>no</span>",
    ],
)
def test_what_is_hidden_is_left_out(hidden: str) -> None:
    assert text(f"<p>a</p>{hidden}<p>b</p>").split() == ["a", "b"]


@pytest.mark.parametrize(
    "shown", ["<p aria-hidden=true>yes</p>", "<details><summary>yes</summary></details>", "<p hidden=until-found>yes"]
)
def test_what_is_only_said_to_be_hidden_is_shown(shown: str) -> None:
    assert text(shown) == "yes"


@pytest.mark.parametrize(
    ("sheet", "element"),
    [
        (".a{display:none}", "<p class=a>no</p>"),
        ("#b, .x { color: red; Display : None !important }", "<p id=b>no</p>"),
        ("div.c > p{visibility:hidden}", "<div class=c><p>no</p></div>"),
        ("section{display:none}", "<section><p>no</p></section>"),
        (".tab{display:none} .tab.on{display:block}", "<p class=tab>no</p>"),
        ("/* .x{} */ @media screen{.a{display:none}}", "<p class=a>no</p>"),
        ("@layer base{.a{display:none}}", "<p class=a>no</p>"),
        (".a{display:none!important} .a{display:block}", "<p class=a style='display:block'>no</p>"),
        ("#t:checked ~ .a{display:block} .a{display:none}", "<input id=t type=radio><p class=a>no</p>"),
        (".a{display:none}", "<img class=a alt=no><input class=a value=no><iframe class=a srcdoc=no></iframe>"),
        (".a{display:none}", "<p class=a>no</p><style media=print>.a{display:block}</style>"),
    ],
)
def test_what_a_style_sheet_hides_is_left_out(sheet: str, element: str) -> None:
    assert text(f"<style>{sheet}</style><p>a</p>{element}<p>b</p>").split() == ["a", "b"]


@pytest.mark.parametrize(
    ("sheet", "element"),
    [
        (".tab{display:none} .tab.on{display:block}", "<p class='tab on'>yes</p>"),
        (".tab.on{display:block} .tab{display:none}", "<p class='tab on'>yes</p>"),
        ("@media print{.a{display:none}}", "<p class=a>yes</p>"),
        ("@media (max-width: 600px){.a{display:none}}", "<p class=a>yes</p>"),
        (".a:hover{display:none} .a::before{display:none}", "<p class=a>yes</p>"),
        (".a{display:none}", "<p class=a style='display:block'>yes</p>"),
        ("[hidden]{display:block}", "<p hidden>yes</p>"),
        ("body{display:none !important} html{visibility:hidden}", "<p>yes</p>"),
        ("#t:checked ~ .a{display:block} .a{display:none}", "<input id=t type=radio checked><p class=a>yes</p>"),
        ("#app{display:none}", "<div id=app>yes</div>"),
        ("p{display:none", "<div>yes</div>"),
        (".a{display:none}}} @x {{{ .y", "<p>yes</p>"),
    ],
)
def test_what_a_style_sheet_shows_is_read(sheet: str, element: str) -> None:
    assert text(f"<style>{sheet}</style>{element}") == "yes"


def test_what_a_style_sheet_hides_is_told() -> None:
    page = html_text(b"<style>.a{display:none}</style><p>Shown<p class=a>Not shown.")
    assert (page.text, page.warnings) == ("Shown", ("10 characters that its style sheet hides left out",))


@pytest.mark.parametrize(
    ("data", "words", "encoding"),
    [
        (b"<meta charset=iso-8859-1><p>\x93Odile\x94 5 \x80", "\u201cOdile\u201d 5 \u20ac", "cp1252"),
        (b"<meta http-equiv=x content='text/html; charset=windows-1251'><p>\xcf\xf0\xe8", "\u041f\u0440\u0438", "cp1251"),
        (b"<?xml version='1.0' encoding='iso-8859-2'?><p>\xe8", "\u010d", "iso8859-2"),
        ("<p>caf\u00e9".encode(), "caf\u00e9", "utf-8"),
        ("<meta charset=latin1><p>caf\u00e9 \u00fcber \u00e4\u00e9".encode(), "caf\u00e9 \u00fcber \u00e4\u00e9", "utf-8"),
        ("<meta charset=latin1><p>caf\u00e9".encode("utf-16"), "caf\u00e9", "utf-16"),
        ("<html><p>caf\u00e9 of Holm</html>".encode("utf-16-le"), "caf\u00e9 of Holm", "utf-16-le"),
        (b"<!-- <meta charset=utf-16> --><meta charset=gbk><p>\xd6\xd0", "\u4e2d", "gb18030"),
        ("<p>\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?".encode("cp1251"),
         "\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?", "cp1251"),
    ],
)  # fmt: skip
def test_encodings_are_those_of_browsers(data: bytes, words: str, encoding: str) -> None:
    page = html_text(data)
    assert (page.text, page.encoding, page.warnings) == (words, encoding, ())


def test_a_page_that_is_not_in_the_encoding_that_it_names_is_told() -> None:
    page = html_text(b"<meta charset=utf-8><p>Caf\xe9 M\xfcller")
    assert page.text == "Caf\u00e9 M\u00fcller"
    assert page.warnings == ("declares itself utf-8, but is not; read as cp1252",)


def test_the_title_stands_in_front_once() -> None:
    assert text("<title>Rules</title><h1>Rules</h1><p>x") == "Rules\n\nx"
    assert text("<title>The</title><p>The fee") == "The\n\nThe fee"
    assert text("<title>Rules</title><p>x", titled=False) == "x"


def test_frames_are_named() -> None:
    assert "a.html, b.html" in html_text(b"<frameset><frame src=a.html><frame src=b.html></frameset>").warnings[0]


def test_what_a_style_sheet_lays_out_apart_stands_apart() -> None:
    page = "<style>.b{display:block}.f{display:flex}</style><span class=b>one</span><span class=b>two</span>"
    assert text(f"{page}<div class=f><span>three</span><span>four</span></div>") == "one\n\ntwo\n\nthree\n\nfour"


def test_cdata_of_xhtml_is_text() -> None:
    page = "<html xmlns='http://www.w3.org/1999/xhtml'><body><p>if <![CDATA[a < b & c]]> then</p></body></html>"
    assert text(page) == "if a < b & c then"
