"""The verbs index, cluster and map: four commands from a csv to a search and a map."""

import csv
import json
import subprocess
import sys

import pytest

CSV = "id,text,year\n" + "".join(
    f"{number},{text},{2000 + number}\n"
    for number, text in enumerate(
        ["rye bread with walnuts", "copper rises by four percent", "a loaf of wheat bread", "the price of zinc"] * 3
    )
)


def run(*arguments, cwd, code=0):
    command = [sys.executable, "-m", "instructor_embedding", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "titles.csv").write_text(CSV)
    return tmp_path


BUILD = ("index", "build", "titles.csv", "-o", "titles.index", "--store", "parquet", "--id", "id", "--keep", "year:int")


def test_from_a_csv_to_a_search_and_a_map(folder):
    report = json.loads(run(*BUILD, "--json", cwd=folder).stdout)
    assert (report["rows"], report["new"]) == (12, 12)
    assert json.loads(run(*BUILD, "--json", cwd=folder).stdout)["unchanged"] == 12
    lines = run("index", "search", "titles.index", "metal prices", "-k", "2", "--json", cwd=folder).stdout.splitlines()
    assert {json.loads(line)["text"] for line in lines} <= {"copper rises by four percent", "the price of zinc"}
    listing = run("index", "search", "titles.index", "baking", "-k", "1", "--where", "year > 2007", cwd=folder).stdout
    assert "bread" in listing
    assert "year=20" in listing
    assert "field" in run("index", "info", "titles.index", cwd=folder).stdout
    run("map", "titles.csv", "-o", "titles.html", "--color", "year", cwd=folder)
    assert "walnuts" in (folder / "titles.html").read_text()


def test_refusals_exit_with_2(folder):
    run(*BUILD, cwd=folder)
    cases = {
        ("index", "search", "titles.index", "x", "-i", "other"): "are encoded with",
        ("index", "search", "titles.index", "x", "--where", "yaer = 1"): "did you mean 'year'",
        ("index", "search", "nothing", "x"): "is not an index: it has no manifest.json; make one",
        ("index", "add", "titles.index", "titles.csv", "-i", "Other: "): "--field NAME",
        ("index", "delete", "titles.index", "--id", "1"): "--store lancedb",
        (*BUILD, "-i", "Other: "): "is an index already",
        ("index", "build", "titles.csv", "-o", "b", "--store", "lance"): "did you mean 'lancedb'",
        ("index", "build", "titles.csv", "-o", "b", "--keep", "year:in"): "did you mean 'int'",
        ("map", "titles.csv", "-o", "a.pdf"): ".png or a .html",
    }
    for arguments, message in cases.items():
        done = run(*arguments, cwd=folder, code=2)
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_cluster(folder):
    instructions = ["-i", "Represent the topic: ", "-i", "Represent the mood: "]
    done = run("cluster", "titles.csv", *instructions, "-k", "2", "--keep", "id", "-o", "out.csv", "--json", cwd=folder)
    rows = list(csv.DictReader((folder / "out.csv").open()))
    assert list(rows[0]) == ["text", "id", "cluster_1", "cluster_2"]
    by_text = {}
    for row in rows:
        by_text.setdefault(row["text"], set()).add(row["cluster_1"])
    assert all(len(groups) == 1 for groups in by_text.values())
    assert [sum(json.loads(line)["sizes"]) for line in done.stdout.splitlines()] == [12, 12]
