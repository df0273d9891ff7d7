//! What the doctor found, and how it is shown.

use std::{fmt::Write as _, io};

use serde::Serialize;

use crate::cli::{exit, printable};

/// How well one thing works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// As it should.
    Ok,
    /// The agent works without it, and knows less.
    Degraded,
    /// Sessions are missed, or the agent does not start.
    Failed,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What it is.
    pub(super) name: &'static str,
    /// How well it works.
    pub(super) status: Status,
    /// What was found.
    pub(super) detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<&'static str>,
}

impl Check {
    /// It works.
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            detail: detail.into(),
            remedy: None,
        }
    }

    /// The agent works without it.
    pub(super) fn degraded(
        name: &'static str,
        detail: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self {
            name,
            status: Status::Degraded,
            detail: detail.into(),
            remedy: Some(remedy),
        }
    }

    /// The agent does not work.
    pub(super) fn failed(
        name: &'static str,
        detail: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self {
            name,
            status: Status::Failed,
            detail: detail.into(),
            remedy: Some(remedy),
        }
    }
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The worst of all checks.
    pub(super) status: Status,
    /// Version of the agent.
    pub(super) version: &'static str,
    /// In the order in which things depend on each other.
    pub(super) checks: Vec<Check>,
    /// The probe could not be loaded at all.
    #[serde(skip)]
    pub(super) is_unsupported: bool,
}

impl Report {
    /// Sums up the checks.
    pub(super) fn new(checks: Vec<Check>, is_unsupported: bool) -> Self {
        let worst = checks.iter().map(|check| check.status).max();
        Self {
            status: worst.unwrap_or(Status::Ok),
            version: env!("CARGO_PKG_VERSION"),
            checks,
            is_unsupported,
        }
    }

    /// 0 when the agent works, 1 when something is wrong, 3 when the agent cannot run here.
    pub(super) const fn exit_code(&self) -> u8 {
        match self.status {
            Status::Failed if self.is_unsupported => exit::UNSUPPORTED,
            Status::Failed => exit::INVALID,
            Status::Ok | Status::Degraded => exit::OK,
        }
    }

    /// For a person: one line each, with what to do below.
    pub(super) fn text(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.len()).max();
        let width = width.unwrap_or_default();
        let mut text = String::new();
        for check in &self.checks {
            let Check {
                name,
                status,
                detail,
                remedy,
            } = check;
            let detail = printable(detail);
            let mut lines = format!("{:8}  {name:width$}  {detail}\n", status.as_str());
            if let Some(remedy) = remedy {
                // Writing to a string never fails.
                let _infallible = writeln!(lines, "{:8}  {:width$}  -> {remedy}", "", "");
            }
            text.push_str(&lines);
        }
        text.push_str(match self.status {
            Status::Ok => "\nall is well\n",
            Status::Degraded => "\nthe agent works, and knows less than it could\n",
            Status::Failed => "\nthe agent does not work here as it should\n",
        });
        text
    }

    /// For a program.
    ///
    /// # Errors
    ///
    /// Never, as its keys are names.
    pub(super) fn json(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(is_unsupported: bool, checks: Vec<Check>) -> Report {
        Report::new(checks, is_unsupported)
    }

    #[test]
    fn the_worst_check_decides() {
        let ok = || Check::ok("kernel", "6.1");
        let less = || Check::degraded("hook", "none", "nothing");
        let bad = || Check::failed("probe", "refused", "another kernel");
        assert_eq!(report(false, vec![ok()]).exit_code(), exit::OK);
        assert_eq!(report(false, vec![ok(), less()]).exit_code(), exit::OK);
        assert_eq!(report(false, vec![bad(), ok()]).exit_code(), exit::INVALID);
        assert_eq!(
            report(true, vec![bad(), ok()]).exit_code(),
            exit::UNSUPPORTED
        );
        assert_eq!(
            report(false, vec![less(), bad(), ok()]).status,
            Status::Failed
        );
    }

    #[test]
    fn text_is_aligned_and_says_what_to_do() {
        let checks = vec![
            Check::ok("kernel", "6.1"),
            Check::failed("accept hook", "ref\u{1b}[2Jused", "mount tracefs"),
        ];
        let expected = "ok        kernel       6.1\n\
                        failed    accept hook  ref\\u{1b}[2Jused\n\
                        \u{20}                      -> mount tracefs\n\
                        \n\
                        the agent does not work here as it should\n";
        assert_eq!(report(false, checks).text(), expected);
    }

    #[test]
    fn json_is_one_line() {
        let report = report(false, vec![Check::ok("kernel", "6.1")]);
        let json = report.json().expect("JSON");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            json,
            format!(
                "{{\"status\":\"ok\",\"version\":\"{version}\",\"checks\":[{{\"name\":\"kernel\",\
                 \"status\":\"ok\",\"detail\":\"6.1\"}}]}}\n"
            )
        );
    }
}
