"""Rows of data sets against other readers: JSON lines against json, CSV against csv, Parquet against pyarrow, on
random tables with the characters that hurt; then the same files damaged, which must be refused or read, never crash.
"""
import csv
import gzip
import io
import json
import random
import subprocess

import pytest

TEXTS = ["", " ", "玉山", "a,b", 'say "hi"', "line\nbreak", "carriage\r\nreturn", "\u3000全形\u3000", "😀", "None", "0", "x" * 300,
         "\ufeffmark", "tab\there", "'", "\\n", "null"]


def read(probe, paths):
    done = subprocess.run([probe("probe_table"), *map(str, paths)], capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def random_text(rng):
    if rng.random() < 0.6:
        return rng.choice(TEXTS)
    return "".join(rng.choice('ab,"\n\r 臺灣。') for _ in range(rng.randint(0, 12)))


def test_json_lines(probe, tmp_path):
    rng = random.Random(1)
    wants, paths = [], []
    for number in range(60):
        names = [f"c{i}" for i in range(rng.randint(1, 6))]
        rows = []
        for _ in range(rng.randint(0, 20)):
            row = {}
            for name in names:
                if rng.random() < 0.15:
                    continue
                row[name] = rng.choice([random_text(rng), None, rng.randint(-9, 9), rng.random(), True, [random_text(rng), 1], {"k": "v"}])
            rows.append(row)
        path = tmp_path / f"{number}.{'json' if number % 2 else 'jsonl'}"
        if number % 2:
            path.write_text(json.dumps(rows, ensure_ascii=bool(number % 4)))
        else:
            lines = [json.dumps(row, ensure_ascii=bool(number % 4)) for row in rows]
            path.write_text("\ufeff" * (number % 3 == 0) + "\n".join(lines) + "\n\n")
        seen = list(dict.fromkeys(key for row in rows for key in row))
        wants.append([{key: row.get(key) for key in seen} for row in rows])
        paths.append(path)
    for path, want, got in zip(paths, wants, read(probe, paths)):
        assert got.get("rows") == want, path.read_text()


def test_csv(probe, tmp_path):
    """An empty field is null here and "" for the csv module; a quoted empty one is "" in both."""
    rng = random.Random(2)
    wants, paths = [], []
    for number in range(120):
        names = [rng.choice(["question", "A", "content.A", "題目", 'q"uote', "a,b"]) + str(i) for i in range(rng.randint(1, 6))]
        end = rng.choice(["\n", "\r\n", "\r"])
        out = io.StringIO()
        writer = csv.writer(out, lineterminator=end, quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        writer.writerow(names)
        for _ in range(rng.randint(0, 15)):
            writer.writerow([random_text(rng) for _ in names])
        text = out.getvalue()
        if number % 5 == 0:
            text = text.rstrip("\r\n")
        path = tmp_path / f"{number}.csv"
        path.write_bytes((("\ufeff" if number % 3 == 0 else "") + text).encode())
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        wants.append([dict(zip(rows[0], row + [""] * 9)) for row in rows[1:]])
        paths.append(path)
    for path, want, got in zip(paths, wants, read(probe, paths)):
        assert "rows" in got, (got, path.read_bytes())
        assert [{k: v or "" for k, v in row.items()} for row in got["rows"]] == want, path.read_bytes()


def test_csv_null_is_not_empty(probe, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b,c\n1,,""\n2\n')
    assert read(probe, [path])[0]["rows"] == [{"a": "1", "b": None, "c": ""}, {"a": "2", "b": None, "c": None}]


@pytest.mark.parametrize("name, text, says", [
    ("x.csv", 'a,b\n1,"never closed\n', "line 2: a quoted field is never closed"),
    ("x.csv", "a,b\n1,2,3\n", "line 2: more fields"),
    ("x.csv", "a,a\n1,2\n", 'two columns are called "a"'),
    ("x.csv", "", "expected a header line"),
    ("x.jsonl", '{"a": 1}\n{"a": \n', "line 2"),
    ("x.jsonl", '{"a": 1}\n[1]\n', "row 2 is no object"),
    ("x.parquet", "PAR1 nonsense", "no Parquet file"),
    ("x.txt", "a", "not a .jsonl"),
])
def test_bad_files_are_named(probe, tmp_path, name, text, says):
    path = tmp_path / name
    path.write_text(text)
    assert says in read(probe, [path])[0]["error"]


def parquet_tables(rng, count):
    pa = pytest.importorskip("pyarrow")
    for number in range(count):
        n = rng.choice([0, 1, 3, 40, 700])
        few = [random_text(rng) for _ in range(5)]
        null = rng.choice([0, 0.2, 0.9])

        def column(make):
            return [None if rng.random() < null else make() for _ in range(n)]

        columns = {
            "question": pa.array(column(lambda: random_text(rng)), pa.string()),
            "answer": pa.array(column(lambda: rng.choice(few)), pa.string()),
            "required": pa.array([random_text(rng) for _ in range(n)], pa.string()),
            "i32": pa.array(column(lambda: rng.randint(-2**31, 2**31 - 1)), pa.int32()),
            "i64": pa.array(column(lambda: rng.randint(-2**63, 2**63 - 1)), pa.int64()),
            "u8": pa.array(column(lambda: rng.randint(0, 255)), pa.uint8()),
            "f64": pa.array(column(lambda: rng.choice([0.0, 1.5, -2.25e300, 3.0, rng.random()])), pa.float64()),
            "f32": pa.array(column(lambda: rng.choice([0.0, 1.5, -2.25, 3.0])), pa.float32()),
            "flag": pa.array(column(lambda: rng.random() < 0.5), pa.bool_()),
            "choices": pa.array(column(lambda: [rng.choice([None, random_text(rng)]) for _ in range(rng.randint(0, 5))]), pa.list_(pa.string())),
            "ints": pa.array(column(lambda: [rng.randint(-5, 5) for _ in range(rng.randint(0, 3))]), pa.list_(pa.int64())),
            "deep": pa.array(column(lambda: {"x": 1}), pa.struct([("x", pa.int32())])),
            "last": pa.array(column(lambda: rng.choice(few)), pa.large_string()),
        }
        schema = pa.schema([pa.field(k, v.type, nullable=k != "required") for k, v in columns.items()])
        yield number, pa.Table.from_arrays(list(columns.values()), schema=schema)


def write_parquet(rng, table, path):
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(
        table, path, compression=rng.choice(["none", "snappy", "gzip"]), use_dictionary=rng.random() < 0.6,
        data_page_version=rng.choice(["1.0", "2.0"]), version=rng.choice(["1.0", "2.4", "2.6"]),
        row_group_size=rng.choice([7, 100, 100000]), data_page_size=rng.choice([64, 1 << 20]),
        dictionary_pagesize_limit=rng.choice([100, 1 << 20]))


def test_parquet(probe, tmp_path):
    rng = random.Random(3)
    wants, paths = [], []
    for number, table in parquet_tables(rng, 60):
        path = tmp_path / f"{number}.parquet"
        write_parquet(rng, table, path)
        wants.append(table.drop_columns(["deep"]).to_pylist())
        paths.append(path)
    for path, want, got in zip(paths, wants, read(probe, paths)):
        assert "rows" in got, got
        assert got["rows"] == want


def test_parquet_that_is_not_read_says_why(probe, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"a": ["x"] * 100})
    pq.write_table(table, tmp_path / "brotli.parquet", compression="brotli")
    pq.write_table(table, tmp_path / "delta.parquet", use_dictionary=False, column_encoding="DELTA_BYTE_ARRAY")
    brotli, delta = read(probe, [tmp_path / "brotli.parquet", tmp_path / "delta.parquet"])
    assert brotli["code"] == delta["code"] == "UNSUPPORTED"
    assert "compression Brotli is not read" in brotli["error"]
    assert 'column "a": encoding DELTA_BYTE_ARRAY is not read' in delta["error"]


def test_damaged_parquet_never_crashes(probe, tmp_path):
    rng = random.Random(4)
    paths = []
    for number, table in parquet_tables(rng, 12):
        path = tmp_path / f"{number}.parquet"
        write_parquet(rng, table.slice(0, 40), path)
        data = path.read_bytes()
        for i in range(25):
            broken = bytearray(data)
            if i % 5 == 0:
                broken = broken[: rng.randrange(len(broken))] + data[-8:]
            for _ in range(rng.randint(1, 6)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            paths.append(tmp_path / f"{number}-{i}.parquet")
            paths[-1].write_bytes(broken)
    answers = read(probe, paths)
    assert len(answers) == len(paths)
    assert sum("error" in answer for answer in answers) > len(paths) // 4


def test_gzip_against_zlib(probe, tmp_path):
    """Every kind of deflate block: stored, fixed, dynamic, by what the compressor makes of the level."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rng = random.Random(5)
    wants, paths = [], []
    for level in (1, 5, 9):
        for size in (1, 50, 3000, 200000):
            text = "".join(rng.choice("臺灣abc \n") for _ in range(size)) + random_text(rng) * 50
            assert gzip.decompress(gzip.compress(text.encode(), level)).decode() == text
            path = tmp_path / f"{level}-{size}.parquet"
            pq.write_table(pa.table({"t": [text]}), path, compression="gzip", compression_level=level, use_dictionary=False)
            wants.append(text)
            paths.append(path)
    for want, got in zip(wants, read(probe, paths)):
        assert got["rows"][0]["t"] == want
