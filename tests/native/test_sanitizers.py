"""A short run of what ``make sanitize`` does at length."""

import pytest

from tests.native import sanitize


@pytest.mark.slow
@pytest.mark.parametrize("name", sanitize.SANITIZERS)
def test_no_sanitizer_reports_anything(name):
    report, fine = sanitize.driver(name, models=3)
    if report.startswith("skipped"):
        pytest.skip(report)
    assert fine, report
