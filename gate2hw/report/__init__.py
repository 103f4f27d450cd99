"""Numbers to JSON, tables and one HTML page with plots; computes nothing twice."""

from gate2hw.report.analysis import analyse
from gate2hw.report.schema import Report
from gate2hw.report.schema_check import check_report
from gate2hw.report.terminal import summary
from gate2hw.report.write import write_report

__all__ = ["Report", "analyse", "check_report", "summary", "write_report"]
