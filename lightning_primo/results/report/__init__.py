"""A search as one page: an HTML file that needs neither a network nor this package to be read."""

from lightning_primo.results.report.page import ReportArguments, report_contents, report_page, write_report

__all__ = ["ReportArguments", "report_contents", "report_page", "write_report"]
