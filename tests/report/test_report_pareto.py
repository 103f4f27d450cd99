"""The page of a sweep: plot, tables, CSV."""

import csv
import io
import xml.etree.ElementTree as ET

from gate2hw.report.pareto import SweepPoint, front_plot, points_csv, render_sweep


def point(number, accuracy, luts, on_front, **extra) -> SweepPoint:
    settings = {"area.weight": f"0.{number}"}
    values = {
        "number": number,
        "settings": settings,
        "n_seeds": 1,
        "accuracy_validation": accuracy,
        "accuracy_validation_std": None,
        "luts4": luts,
        "luts4_gates": luts - 100,
        "luts4_popcount": 100.0,
        "gates": 2 * luts,
        "outputs": 70.0,
        "on_front": on_front,
        "accuracy_test": 0.9012 if on_front else None,
        "folders": [f"trials/{number}"],
    }
    return SweepPoint(**{**values, **extra})


POINTS = [
    point(1, 0.91, 500.0, True),
    point(2, 0.90, 700.0, False),
    point(3, 0.97, 1900.0, True, accuracy_validation_std=0.004),
]


def page(**extra):
    sweep = {"recipe": "digits", "n_seeds": 1, "search": "grid", "points": POINTS, "failed": []}
    return render_sweep({**sweep, **extra})


def test_settings_with_fewer_seeds_are_told_apart():
    partial = point(4, 0.99, 300.0, False)
    whole = [{**one, "n_seeds": 3} for one in POINTS]
    plot = front_plot([*whole, partial])
    assert "Of 3 settings" in plot.caption
    assert "fewer seeds, not compared" in plot.svg
    text = page(points=[*whole, partial], n_seeds=3)
    assert "<th>seeds</th>" in text
    assert "<td>3</td>\n<td>91.00" in text
    assert "fewer where one failed" in text
    assert "<th>seeds</th>" not in page(points=whole, n_seeds=3)
    alone = page(points=[partial], n_seeds=3)
    assert "No setting was finished with all seeds." in alone
    assert "<td>1</td>\n<td>99.00" in alone


def test_the_plot_says_how_far_the_front_goes():
    plot = front_plot(POINTS)
    assert "2 are beaten by no other" in plot.caption
    assert "91.00" in plot.caption
    assert "1,900 LUT4" in plot.caption
    texts = [node.text for node in ET.fromstring(plot.svg).iter() if node.text]
    assert {"front", "beaten by another", "1", "3"} <= set(texts)
    assert "2" not in texts  # only the front is numbered
    assert front_plot(POINTS).svg == plot.svg


def test_a_front_of_one_point_is_drawn():
    assert "1 settings, 1 are" in front_plot(POINTS[:1]).caption


def test_the_csv_has_a_column_for_each_setting():
    rows = list(csv.DictReader(io.StringIO(points_csv(POINTS))))
    assert [row["area.weight"] for row in rows] == ["0.1", "0.2", "0.3"]
    assert rows[1]["accuracy_test"] == ""
    assert rows[2]["accuracy_validation_std"] == "0.004"
    assert float(rows[2]["luts4"]) == 1900


def test_the_page_flags_the_test_split_and_gives_it_for_the_front_only():
    html = page()
    assert html.count("90.12") == 2
    assert "the test split was looked at once" in html
    assert html.count("<svg") == 1


def test_the_page_escapes_names_and_tells_failures():
    failed = [{"settings": {"a<b": "1"}, "seed": 4, "reason": "no <data>"}]
    html = page(recipe="<b>x", failed=failed)
    assert "Sweep of &lt;b&gt;x" in html
    assert "a&lt;b=1 seed 4: no &lt;data&gt;" in html
    assert "<b>x" not in html


def test_a_sweep_without_results_has_a_page():
    assert "No trial was finished" in page(points=[])
