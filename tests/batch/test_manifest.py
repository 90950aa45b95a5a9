"""Manifests: all formats, and all problems reported at once."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import (
    AgentsDialect,
    ExtendRequest,
    GatewayDialect,
    GenerateRequest,
    ManifestError,
)
from luma_async.batch import Manifest, read_manifest
from luma_async.batch.columns import heading, ratio, trimmed, truth
from luma_async.batch.problems import Problem, TableError
from luma_async.batch.tables import TableRow, read_csv, read_json_lines
from luma_async.batch.yaml_table import read_yaml
from tests.media.image_files import an_image

FORMS = {
    "rows.csv": (
        b"key,prompt,aspect_ratio,loop,extends,extra\n"
        b'one,"a cat, dancing",16:9,yes,,\n'
        b'two,it bows,,,one,"{""seed"": 7}"\n'
        b"\n"
        b"three,it sleeps,,,11111111-2222-3333-4444-555555555555,\n"
    ),
    "excel.csv": (
        b"\xef\xbb\xbfkey;prompt;aspect_ratio;loop;extends;extra\r\n"
        b"one;a cat, dancing;16:9;TRUE;;\r\n"
        b'two;it bows;;;one;"{""seed"": 7}"\r\n'
        b"three;it sleeps;;;11111111-2222-3333-4444-555555555555;\r\n"
    ),
    "unicode.csv": (
        "key\tprompt\taspect_ratio\tloop\textends\textra\r\n"
        "one\ta cat, dancing\t16:9\tTRUE\t\t\r\n"
        'two\tit bows\t\t\tone\t"{""seed"": 7}"\r\n'
        "three\tit sleeps\t\t\t11111111-2222-3333-4444-555555555555\t\r\n"
    ).encode("utf-16"),
    "rows.jsonl": (
        b'{"key": "one", "prompt": "a cat, dancing", "aspect_ratio": "16:9", "loop": true}\n'
        b'{"key": "two", "prompt": "it bows", "extends": "one", "extra": {"seed": 7}}\n'
        b'{"key": "three", "prompt": "it sleeps",'
        b' "extends": "id:11111111-2222-3333-4444-555555555555"}\n'
    ),
    "rows.yaml": (
        b"- {key: one, prompt: 'a cat, dancing', aspect_ratio: 16:9, loop: yes}\n"
        b"- key: two\n  prompt: it bows\n  extends: one\n  extra: {seed: 7}\n"
        b"- key: three\n  prompt: it sleeps\n  aspect_ratio:\n"
        b"  extends: 11111111-2222-3333-4444-555555555555\n"
    ),
}


def manifest(folder: Path, name: str, content: bytes | str) -> Manifest:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_manifest(path)


def problems(folder: Path, name: str, content: bytes | str) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        manifest(folder, name, content)
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("name", FORMS)
def test_all_formats_are_read_alike(name: str, tmp_path: Path) -> None:
    """CSV as in the standard or from Excel, JSON lines, YAML."""
    rows = manifest(tmp_path, name, FORMS[name]).rows

    assert [(row.key, row.parent, row.source_id) for row in rows] == [
        ("one", None, None),
        ("two", "one", None),
        ("three", None, "11111111-2222-3333-4444-555555555555"),
    ]
    assert [row.request for row in rows] == [
        GenerateRequest("a cat, dancing", aspect_ratio="16:9", loop=True),
        ExtendRequest("it bows", extra={"seed": 7}),
        ExtendRequest("it sleeps"),
    ]
    assert [row.line for row in rows] == [
        record.line
        for record in {  # as each form counts its lines
            "rows.csv": read_csv,
            "excel.csv": read_csv,
            "unicode.csv": read_csv,
            "rows.jsonl": read_json_lines,
            "rows.yaml": read_yaml,
        }[name](FORMS[name].decode("utf-16" if name == "unicode.csv" else "utf-8-sig"))
        if isinstance(record, TableRow)
    ]


@pytest.mark.parametrize(
    ("mark", "encoding"), [(b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")]
)
def test_utf_16_is_read_in_the_byte_order_of_its_mark(
    mark: bytes, encoding: str, tmp_path: Path
) -> None:
    """Spreadsheets write either order."""
    content = mark + "prompt\na cat dances in a caf\u00e9\n".encode(encoding)

    [row] = manifest(tmp_path, "rows.csv", content).rows

    assert row.request.prompt == "a cat dances in a caf\u00e9"


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        pytest.param("prompt\na cat, dancing\n", ["a cat, dancing"], id="one column"),
        pytest.param('prompt\na cat; it dances\n"a ""dog"""', None, id="one, with quotes"),
        pytest.param("prompt;key;loop\na cat\na dog;b\n", ["a cat", "a dog"], id="cells left out"),
        pytest.param("prompt,key\na cat,a,,,\na dog,b,\n", ["a cat", "a dog"], id="cells added"),
        pytest.param('prompt, key\na cat, "a, b"\n', ["a cat"], id="blanks before quotes"),
        pytest.param("sep=;\nprompt;key\na cat, dancing;a\n", ["a cat, dancing"], id="sep"),
        pytest.param("SEP=|\r\nprompt|key\r\na cat, dancing|a\r\n", ["a cat, dancing"], id="bar"),
        pytest.param('"sep=;"\n"prompt";"key"\n"a; b";"c"\n', ["a; b"], id="sep in quotes"),
        pytest.param("sep=;;;\nprompt;key;loop\na cat;;\n", ["a cat"], id="sep saved again"),
        pytest.param("prompt\n\u00a0a cat\u200b \n", ["a cat"], id="blanks that nobody sees"),
        pytest.param('"prompt";"key, in short"\n', [], id="separators in a heading"),
    ],
)
def test_tables_are_read_as_spreadsheets_write_them(
    text: str, prompts: list[str] | None, tmp_path: Path
) -> None:
    """Countries, programs and the number of empty cells make no difference."""
    if prompts == []:
        assert list(read_csv(text)) == []
        return
    rows = manifest(tmp_path, "rows.csv", text).rows

    assert [row.request.prompt for row in rows] == (prompts or ["a cat; it dances", 'a "dog"'])


def test_a_line_that_names_the_separator_is_counted(tmp_path: Path) -> None:
    """Problems have the line numbers of an editor."""
    [problem] = problems(tmp_path, "rows.csv", "sep=;\nprompt;loop\na cat;perhaps\n")

    assert problem.startswith("rows.csv:3:2: loop: 'perhaps' is neither true nor false; write TRUE")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Aspect Ratio", "aspect_ratio"),
        (" ASPECT-RATIO\u00a0", "aspect_ratio"),
        ("Image\nEnd", "image_end"),
        ("expand _ Prompt", "expand_prompt"),
        ("Prompt\ufeff", "prompt"),
        ("My Notes ", "My Notes"),
    ],
)
def test_headings_may_be_written_in_several_ways(written: str, meant: str) -> None:
    """Case, blanks, dashes and underscores make no difference; other names stay as they are."""
    assert heading(written) == meant


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("16:09", "16:9"),
        ("16:09:00", "16:9"),
        ("09:16", "9:16"),
        ("04:03:00", "4:3"),
        ("4:09 PM", "16:9"),
        ("9:09:00 p.m.", "21:9"),
        ("9:16 AM", "9:16"),
        ("01:01", "1:1"),
        ("16 : 9", "16:9"),
        ("16:9", "16:9"),
        ("16:09:30", "16:09:30"),
        ("wide", "wide"),
    ],
)
def test_a_ratio_that_became_a_time_of_day_is_a_ratio(cell: str, meant: str) -> None:
    """Spreadsheets take 16:9 for nine minutes past four."""
    assert ratio(cell) == meant


@pytest.mark.parametrize(
    "word", ["WAHR", "Vrai", "VERDADERO", "vero", "TRUE", "1", "DO\u011eRU", "ja"]
)
def test_true_may_be_written_in_the_language_of_a_spreadsheet(word: str) -> None:
    """Excel writes a CSV file in the language of its user."""
    assert truth(word) is True


@pytest.mark.parametrize("word", ["FALSCH", "Faux", "FALSO", "FALSE", "0", "YANLI\u015e", "nein"])
def test_false_may_be_written_in_the_language_of_a_spreadsheet(word: str) -> None:
    """Excel writes a CSV file in the language of its user."""
    assert truth(word) is False


def test_a_file_in_windows_1252_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Excel's plain CSV does not name its encoding, so the guess is logged once."""
    prompt = "ein K\u00e4tzchen \u201etanzt\u201c f\u00fcr 5 \u20ac"

    [row] = manifest(tmp_path, "rows.csv", f"Prompt;Loop\n{prompt};WAHR\n".encode("cp1252")).rows

    assert row.request == GenerateRequest(prompt, loop=True)
    [line] = caplog.messages
    assert line.startswith(f"{tmp_path / 'rows.csv'} is not UTF-8, so it is read as Windows-1252.")


@pytest.mark.parametrize(
    "prompt",
    [
        "\u00abO\u00f9\u2026\u00bb\u2014\u00ab\u00c7a\u00bb",
        "\u00abcr\u00e9\u00e9\u2026\u00bb, 3 m\u00b3, d\u2019\u00e9t\u00e9",
        "Espa\u00f1a\u2014\u00bf\u00c9l?, col\u00b7legi, n.\u00ba 1",
        "Gr\u00f6\u00dfe, \u201a\u00d6l\u2018, 20 \u00b0C",
        "\u00fe\u00ed\u00f0a\u00f0, \u00e6\u00f8\u00e5, a\u00e7\u00f5es",
    ],
)
def test_words_of_western_languages_are_read(prompt: str, tmp_path: Path) -> None:
    """Quotes, signs and accents may follow each other closely."""
    [row] = manifest(tmp_path, "rows.csv", f'Prompt\n"{prompt}"\n'.encode("cp1252")).rows

    assert row.request == GenerateRequest(prompt)


def test_problems_are_data_as_well(tmp_path: Path) -> None:
    """Each has its place and field, also beyond the fifty in the text."""
    path = tmp_path / "rows.csv"
    path.write_text("prompt,loop\n" + "x,maybe\n" * 60)

    with pytest.raises(ManifestError) as caught:
        read_manifest(path)

    assert len(caught.value.problems) == 60 + 59  # the rows say the same
    assert caught.value.problems[0] == {
        "file": str(path),
        "line": 2,
        "column": 2,
        "field": "loop",
        "error": "'maybe' is neither true nor false; write TRUE or FALSE",
    }


def test_a_name_with_a_line_break_adds_no_line(tmp_path: Path) -> None:
    """Each problem is one line for any content of the file."""
    [problem] = problems(tmp_path, "rows.jsonl", '{"prompt": "x", "a\\nb": 1}')

    assert problem.startswith("rows.jsonl:1:17: a b: is not a known field; known: ")


NOT_WESTERN = "is not UTF-8, and does not look like Windows-1252 either; save the"
CELLS = "a text that contains a separator"

BAD: dict[str, tuple[str, bytes | str, list[str]]] = {
    "no prompt": (
        "rows.csv",
        "key,text\na,b\nc,d\n",
        [
            "rows.csv:1: 'prompt' is not a column of this file, and every row needs one",
            "rows.csv:1:2: 'text' is not a known column; known: key, kind, extends, source",
        ],
    ),
    "encoding": (
        "rows.csv",
        "prompt\na cat\n\u201ecaf".encode() + b"\xe9\n",
        ["rows.csv:3:5: byte 0xe9 is not UTF-8, unlike the rest of the file; save the file as"],
    ),
    "UTF-16 without a mark": (
        "rows.csv",
        "prompt\na cat\n".encode("utf-16-le"),
        ["rows.csv:1:2: there is a null character here, so the file is not text; save the file"],
    ),
    "separators mixed": (
        "rows.csv",
        "key;prompt\na,a cat\n",
        [f"rows.csv:2:2: this row has 1 cell and the first line 2; {CELLS}"],
    ),
    "quotes": (
        "rows.csv",
        'prompt\na cat\n"a dog\na cow\n',
        ["rows.csv:3: unexpected end of data: are all quotes closed, and those within"],
    ),
    "another alphabet": (
        "rows.csv",
        "prompt\na cat\n\u043a\u043e\u0442 \u043f\u043b\u044f\u0448\u0435\u0442\n".encode("cp1251"),
        [f"rows.csv:3:5: byte 0xef {NOT_WESTERN}"],
    ),
    "Chinese": (
        "rows.csv",
        "prompt\n\u4e00\u6735\u7ea2\u82b1\n".encode("gbk"),
        [f"rows.csv:2:4: byte 0xe4 {NOT_WESTERN}"],
    ),
    "Korean": (
        "rows.csv",
        "prompt\n\uace0\uc591\uc774\n".encode("euc-kr"),
        [f"rows.csv:2:2: byte 0xed {NOT_WESTERN}"],
    ),
    "Polish": (
        "rows.csv",
        "prompt\n\u017c\u00f3\u0142w p\u0142ywa\n".encode("cp1250"),
        [f"rows.csv:2:7: byte 0xb3 {NOT_WESTERN}"],
    ),
    "a byte that Windows-1252 has not": (
        "rows.csv",
        b"prompt\na \x81 cat\n",
        ["rows.csv:2:3: byte 0x81 is neither UTF-8 nor Windows-1252; save the file as UTF-8"],
    ),
    "text behind a quote": (
        "rows.csv",
        'prompt\n"a cat", dancing\n',
        ["rows.csv:2: a text continues after its closing quote: are all quotes closed, and those"],
    ),
    "a failed formula": (
        "rows.csv",
        "prompt,model\n#NAME?,#N/A\n",
        [
            "rows.csv:2:1: prompt: #NAME? is an error of the spreadsheet; correct its formula, or",
            "rows.csv:2:2: model: #N/A is an error of the spreadsheet; correct its formula, or",
        ],
    ),
    "a cell too many": (
        "rows.csv",
        "prompt,model\na cat, dancing,ray-v2\n",
        [f"rows.csv:2:3: this row has 3 cells and the first line 2; {CELLS}"],
    ),
    "a heading twice": (
        "rows.csv",
        "prompt,Aspect Ratio,aspect-ratio\na cat,1:1,1:1\n",
        ["rows.csv:1:3: two columns have the name 'aspect_ratio'"],
    ),
    "two keys": (
        "rows.csv",
        "key,prompt\na,a cat\nb,a dog\na,a cow\n",
        ["rows.csv:4:1: key: 'a' is the key of line 2, too"],
    ),
    "two rows that say the same": (
        "rows.csv",
        "prompt\na cat\na dog\na cat\n",
        ["rows.csv:4: this row is the same as line 2; give each of them a key to run both"],
    ),
    "circle": (
        "rows.csv",
        "key,prompt,extends\na,x,c\nb,x,a\nc,x,b\nd,x,a\ne,x,e\n",
        [
            "rows.csv:2:3: these rows extend each other in a cycle: a -> c -> b -> a",
            "rows.csv:6:3: row 'e' extends itself",
        ],
    ),
    "loose end": (
        "rows.csv",
        "key,prompt,extends\na,x,b\n",
        ["rows.csv:2:3: extends: no row has the key 'b'; the id of a job is written id:b"],
    ),
    "empty": ("rows.csv", "", ["rows.csv: the file is empty; its first line names the columns"]),
    "no rows": ("rows.csv", "prompt\n", ["rows.csv: there are no rows"]),
    "empty lines": ("rows.jsonl", "\n\n", ["rows.jsonl: the file is empty; its lines are objects"]),
    "empty list": ("rows.yaml", "[]", ["rows.yaml: there are no rows"]),
    "nothing": (
        "rows.yaml",
        "# later\n",
        ["rows.yaml: the file is empty; it must be a list of rows"],
    ),
    "kind": ("rows.xls", b"PK", ["rows.xls: the name must end with one of: .csv, .tsv"]),
    "fields": (
        "rows.csv",
        "prompt,aspect_ratio,loop,extra,image\n,,,,\n ,7:7,maybe,{,nowhere.png\n",
        [
            "rows.csv:3:1: prompt: is required; write one, or delete the row",
            "rows.csv:3:2: aspect_ratio: '7:7' is not valid; allowed: 1:1,",
            "rows.csv:3:3: loop: 'maybe' is neither true nor false",
            "rows.csv:3:4: extra: is not a JSON object: ",
            "rows.csv:3:5: image: 'nowhere.png' cannot be read: No such file or directory",
        ],
    ),
    "columns": (
        "rows.csv",
        "prompt,,prompt,\na,b,c,\n",
        [
            "rows.csv:1:3: two columns have the name 'prompt'",
            "rows.csv:1:4: '' is not a name of a column, but the column has cells",
        ],
    ),
    "loop": (
        "rows.csv",
        "key,prompt,extends,loop\na,x,,true\nb,x,a,false\nc,x,a,true\n",
        ["rows.csv:4:4: loop: a row of the kind extend has no loop; leave it empty"],
    ),
    "lines": (
        "rows.jsonl",
        '{"prompt": "x"}\n{"prompt": 7}\n[]\n{"prompt"\n{"key": "a"}\n{"prompt": "y", "size": 3}\n',
        [
            "rows.jsonl:2:2: prompt: input should be a valid string",
            "rows.jsonl:3:1: a row must be an object",
            "rows.jsonl:4:10: this is not valid JSON: Expecting ':' delimiter",
            "rows.jsonl:5: prompt: is required",
            "rows.jsonl:6:17: size: is not a known field; known: key,",
        ],
    ),
    "yaml": (
        "rows.yaml",
        "- prompt: x\n- 7\n- prompt: y\n  prompt: z\n- prompt: w\n  extends: [a]\n",
        [
            "rows.yaml:2:3: a row must be a mapping",
            "rows.yaml:4:3: 'prompt' is here twice",
            "rows.yaml:5:12: extends: ['a'] is neither the key of a row nor the id of a job",
        ],
    ),
    "no yaml": ("rows.yaml", "- prompt: 'x\n", ["rows.yaml:2:1: this is not valid YAML: "]),
    "no list": ("rows.yaml", "prompt: x\n", ["rows.yaml:1:1: the file must be a list of rows"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_all_problems_are_reported_with_their_places(kind: str, tmp_path: Path) -> None:
    """File, line and column, as editors find them; all problems at once."""
    name, content, expected = BAD[kind]

    found = problems(tmp_path, name, content)

    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        if kind == "yaml" and "extends" in beginning:
            assert "extends: ['a'] is neither the key of a row" in line
        else:
            assert line.startswith(beginning)


ODD: dict[str, tuple[str, str, str]] = {
    "a name twice": (
        "rows.jsonl",
        '{"prompt": "a", "prompt": "b"}',
        "1:1: .*'prompt' is here twice",
    ),
    "half a character": (
        "rows.jsonl",
        '{"prompt": "a \\ud800"}',
        "1:2: prompt: must not contain lone surrogates",
    ),
    "half an id": (
        "rows.jsonl",
        '{"prompt": "a", "extends": "id:\\ud800"}',
        "extends: must not contain",
    ),
    "digits": ("rows.jsonl", '{"prompt": ' + "9" * 5000 + "}", "1:1: this cannot be read: "),
    "depth": ("rows.csv", 'prompt,extra\nx,"' + "[" * 9999 + '"\n', "2:2: extra: is not a JSON"),
    "a name that is none": ("rows.yaml", "- prompt: x\n  ? [a]\n  : b\n", "the name of a column"),
    "a circle": (
        "rows.yaml",
        "- prompt: x\n  extra: &a {b: *a}\n",
        "too deeply, or contains itself",
    ),
    "depth in YAML": ("rows.yaml", "- prompt: x\n  extra: " + "[" * 300 + "]" * 300, "too deeply"),
    "a late header": ("rows.csv", "\n\ntext\nx\n", "rows.csv:3: 'prompt' is not a column"),
    "one file": ("rows.csv", "key,prompt\nCat,x\ncat,y\n", "3:1: key: 'cat' and 'Cat' of line 2"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_values_are_problems(kind: str, tmp_path: Path) -> None:
    """An exception of a parser becomes a problem like any other."""
    name, content, problem = ODD[kind]

    with pytest.raises(ManifestError, match=problem):
        manifest(tmp_path, name, content)


def test_a_prompt_may_contain_other_line_separators(tmp_path: Path) -> None:
    """Pasted from a word processor; only line ends end a row, and lines are counted by them."""
    prompts = ["a\u2028b", "c\x0bd", "e\x85f", "g\x1ch"]
    text = "key,prompt\n" + "".join(f"k{n},{prompt}\n" for n, prompt in enumerate(prompts))

    rows = manifest(tmp_path, "rows.csv", text).rows

    assert [row.request.prompt for row in rows] == prompts
    assert [row.line for row in rows] == [2, 3, 4, 5]


def bomb(levels: int) -> str:
    """Return some hundred characters of YAML that unfold to ten to the power of `levels`."""
    text = "- prompt: a cat\n  extra:\n    a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
    for n in range(1, levels):
        text += f"    a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n"
    return text


@pytest.mark.parametrize(
    "text",
    [
        bomb(40),
        f"- prompt: &p {'x' * 60_000}\n" + "- prompt: *p\n" * 5000,
    ],
    ids=["lists of lists", "a long text"],
)
def test_aliases_that_expand_too_much_are_rejected(text: str, tmp_path: Path) -> None:
    """Memory stays bounded."""
    found = problems(tmp_path, "rows.yaml", text)

    said = "aliases (*name) expand this value too much; write it out instead"
    assert any(said in line for line in found)


def test_a_name_made_of_aliases_is_rejected(tmp_path: Path) -> None:
    """Its text would be very long."""
    text = bomb(40) + "    ? *a39\n    : 1\n"

    with pytest.raises(ManifestError):
        manifest(tmp_path, "rows.yaml", text)
    [problem] = problems(tmp_path, "short.yaml", "- prompt: x\n  extra: {? [a] : b}\n")
    assert "the name of a value must be text" in problem


def test_aliases_are_expanded(tmp_path: Path) -> None:
    """A few aliases cost little."""
    text = "- prompt: x\n  extra: &more {seed: 7}\n- prompt: y\n  extra: *more\n"

    rows = manifest(tmp_path, "rows.yaml", text).rows

    assert [vars(row.request)["extra"] for row in rows] == [{"seed": 7}] * 2


def test_nested_yaml_has_the_types_of_json(tmp_path: Path) -> None:
    """`16:9`, `yes` and dates are text, and so are numbers in quotes."""
    text = "- prompt: x\n  extra: {a: 16:9, b: yes, c: 2024-01-02, d: 7, e: '7', f: [true, null]}"

    [row] = manifest(tmp_path, "rows.yaml", text).rows

    assert vars(row.request)["extra"] == {
        "a": "16:9",
        "b": "yes",
        "c": "2024-01-02",
        "d": 7,
        "e": "7",
        "f": [True, None],
    }


def test_a_tsv_file_is_separated_by_tabs(tmp_path: Path) -> None:
    """Commas are part of a prompt."""
    rows = manifest(tmp_path, "rows.tsv", "prompt\na cat, dancing, at night\n").rows

    assert rows[0].request.prompt == "a cat, dancing, at night"


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """The error is the same as for other problems."""
    with pytest.raises(ManifestError, match=r"rows\.csv: cannot be read: No such file"):
        read_manifest(tmp_path / "rows.csv")


def test_many_problems_are_counted(tmp_path: Path) -> None:
    """The first fifty are shown."""
    found = problems(tmp_path, "rows.csv", "prompt,loop\n" + "x,maybe\n" * 200)

    assert len(found) == 51
    assert found[-1] == "and 349 more"


def test_a_row_without_a_key_has_a_digest_as_its_key(tmp_path: Path) -> None:
    """The key does not depend on the place of the row or the format of the file."""
    here = manifest(tmp_path, "a.csv", "prompt,aspect_ratio\na cat,16:9\na dog,\n").rows
    there = manifest(tmp_path, "b.csv", "aspect_ratio,prompt\n,a dog\n\n16:9,a cat\n").rows
    other = manifest(tmp_path, "c.jsonl", '{"prompt": "a dog"}\n').rows

    assert {row.key for row in here} == {row.key for row in there}
    assert other[0].key == here[1].key
    assert here[0].key != here[1].key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"prompt": "x", "loop": true}', "prompt,loop\nx,TRUE\n"),
        ('{"prompt": "x", "extra": {"a": 1, "b": 2}}', 'prompt,extra\nx,"{""b"": 2, ""a"": 1}"\n'),
        ('{"prompt": "x"}', "prompt,notify_hook\nx,https://host/told\n"),
        ('{"prompt": "x", "extends": "id:7"}', "prompt,extends\nx,id:7\n"),
    ],
)
def test_equal_requests_have_equal_keys(one: str, other: str, tmp_path: Path) -> None:
    """A spreadsheet writes `TRUE` in capitals, and must not pay for the row again."""
    [here] = manifest(tmp_path, "a.jsonl", one).rows
    [there] = manifest(tmp_path, "b.csv", other).rows

    assert (here.key, here.asks) == (there.key, there.asks)


def test_the_key_of_a_row_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    """Images are beside the manifest, and move with it."""
    keys = []
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        (folder / "cat.png").write_bytes(an_image())
        [row] = manifest(folder, "a.csv", "prompt,image\nx,cat.png\n").rows
        keys.append(row.key)

    assert keys[0] == keys[1]


def test_paths_of_images_are_relative_to_the_manifest(tmp_path: Path) -> None:
    """The current folder does not matter. URLs are not changed; other files are a problem."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cat.png").write_bytes(an_image())
    (tmp_path / "note.png").write_text("no image")
    good = "prompt,image\nx,images/cat.png\ny,https://host/cat.png\n"

    rows = manifest(tmp_path, "rows.csv", good).rows
    bad = problems(tmp_path, "bad.csv", "prompt,image\nx,note.png\ny,ftp://host/a.png\n")

    assert vars(rows[0].request)["image"] == tmp_path / "images" / "cat.png"
    assert vars(rows[1].request)["image"] == "https://host/cat.png"
    assert bad[0] == "bad.csv:2:2: image: 'note.png' is not an image"
    assert bad[1].startswith("bad.csv:3:2: image: 'ftp://host/a.png' is not a URL of an image")


def test_an_image_that_is_too_large_is_a_problem_before_any_payment(tmp_path: Path) -> None:
    """The limit is that of the dialect, also if the manifest is read without one."""
    for name, size in (("big", 20 * 2**20 + 2**18), ("huge", 50 * 10**6 + 1)):
        with (tmp_path / f"{name}.png").open("wb") as file:
            file.write(an_image())
            file.truncate(size)
    text = "prompt,image\nx,big.png\ny,big.png\n"
    (tmp_path / "big.csv").write_text(text)

    read = manifest(tmp_path, "rows.csv", text)
    [huge] = problems(tmp_path, "rows.csv", "prompt,image\nx,huge.png\n")
    read.check(AgentsDialect())
    for check in (
        lambda: read.check(GatewayDialect()),
        lambda: read_manifest(tmp_path / "big.csv", dialect=GatewayDialect()),
    ):
        with pytest.raises(ManifestError) as caught:
            check()
        assert str(caught.value).count("big.png' must have at most 20 MiB, has 20.2 MiB") == 2

    assert huge.endswith("image: 'huge.png' must have at most 47.68 MiB, has 47.7 MiB")


def test_the_field_size_limit_of_the_program_is_not_changed(tmp_path: Path) -> None:
    """Cells of a manifest may be long, but the limit of the csv module is global."""
    limit = 2**17
    csv.field_size_limit(limit)
    [row] = manifest(
        tmp_path, "rows.csv", 'prompt,extra\nx,"{""a"": ""' + "y" * 200_000 + '""}"\n'
    ).rows

    assert len(vars(row.request)["extra"]["a"]) == 200_000
    assert csv.field_size_limit() == limit


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8), st.sampled_from(",;\t"))
def test_cells_survive_a_round_trip_through_a_spreadsheet(
    rows: list[tuple[str, str]], delimiter: str
) -> None:
    """Separators, quotes and line breaks within a cell are kept, blanks around it are not."""
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows]
    text = "\n".join(delimiter.join(row) for row in [["one", "two"], *quoted])

    records = [record for record in read_csv(text) if isinstance(record, TableRow)]

    trimmed_rows = [(trimmed(one), trimmed(two)) for one, two in rows]
    assert [tuple(record.cells.values()) for record in records] == [
        row for row in trimmed_rows if any(row)
    ]


@given(st.text(max_size=200))
def test_any_text_is_read_or_rejected(text: str) -> None:
    """No reader raises another exception."""
    for read in (read_csv, read_json_lines, read_yaml):
        try:
            for record in read(text):
                assert isinstance(record, TableRow | Problem)
        except TableError:
            pass


@given(st.lists(st.dictionaries(st.sampled_from(["prompt", "key", "extends"]), cells), max_size=6))
def test_rows_are_valid_or_the_manifest_is_not(rows: list[dict[str, str]]) -> None:
    """Keys are unique, parents are rows, and there are no cycles."""
    import tempfile  # noqa: PLC0415  hypothesis has no tmp_path

    with tempfile.TemporaryDirectory() as folder:
        text = "\n".join(json.dumps(row) for row in rows)
        try:
            found = manifest(Path(folder), "rows.jsonl", text).rows
        except ManifestError:
            return
    keys = [row.key for row in found]
    assert len(set(keys)) == len(rows) == len(keys)
    for row in found:
        seen = {row.key}
        parents = {each.key: each.parent for each in found}
        key = row.parent
        while key is not None:
            assert key in parents
            assert key not in seen
            seen.add(key)
            key = parents[key]


KINDS = [".csv", ".tsv", ".jsonl", ".yaml", ".xlsx"]


@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: text.encode("utf-16"))
    | st.text(max_size=100).map(lambda text: ("prompt;Loop\n" + text).encode("cp1252", "replace")),
    st.sampled_from(KINDS),
)
def test_any_bytes_are_read_or_rejected(content: bytes, kind: str) -> None:
    """Each problem is one line that begins with the name of the file."""
    import tempfile  # noqa: PLC0415  hypothesis has no tmp_path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"rows{kind}")
        path.write_bytes(content)
        try:
            assert read_manifest(path).rows
        except ManifestError as caught:
            error = caught
        else:
            return
    lines = str(error).splitlines()
    assert len(lines) == min(len(error.problems), 50) + (len(error.problems) > 50)
    assert all(line.startswith(f"{path}:") for line in lines[:50])


@given(
    st.lists(st.tuples(cells, cells), max_size=8), st.sampled_from(["excel", "excel-tab", "unix"])
)
def test_output_of_the_csv_module_is_read(rows: list[tuple[str, str]], dialect: str) -> None:
    """All of its dialects are read."""
    text = io.StringIO(newline="")
    csv.writer(text, dialect).writerows([("key", "prompt"), *rows])

    records = [record for record in read_csv(text.getvalue()) if isinstance(record, TableRow)]

    wanted = [(trimmed(key), trimmed(prompt)) for key, prompt in rows]
    assert [(record.cells["key"], record.cells["prompt"]) for record in records] == [
        row for row in wanted if any(row)
    ]
