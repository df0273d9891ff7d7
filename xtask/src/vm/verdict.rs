//! What a guest says of its tests, line by line.
//!
//! Between its own lines, which start with `@`, the guest passes on what the test program prints.

use std::fmt;

/// The tests of one guest.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) suites: Vec<Suite>,
    /// Whether the guest came to its end.
    pub(crate) done: bool,
    /// A test whose result has not been printed yet.
    pending: Option<String>,
}

/// One run of the test program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) tests: Vec<(String, Verdict)>,
    /// Exit status of the test program.
    pub(crate) status: Option<i32>,
    /// Passed and failed, by the test program's own count.
    counts: Option<(usize, usize)>,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Ignored,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::Ignored => "ignored",
        })
    }
}

impl Report {
    /// Takes the next line; returns a test whose verdict it completes.
    pub(crate) fn line(&mut self, line: &str) -> Option<(String, Verdict)> {
        let line = line.trim_end();
        if let Some(own) = line.strip_prefix('@') {
            self.own_line(own);
            return None;
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.last()?.counts = counts_of(counts);
            return None;
        }
        if let Some((name, rest)) = line
            .strip_prefix("test ")
            .and_then(|line| line.split_once(" ... "))
            .or_else(|| Some((line.strip_prefix("test ")?.strip_suffix(" ...")?, "")))
        {
            self.pending = Some(name.to_owned());
            return self.complete(rest);
        }
        // What a test prints around the harness may stand between its name and its verdict.
        self.complete(line)
    }

    fn complete(&mut self, text: &str) -> Option<(String, Verdict)> {
        let verdict = if text.ends_with("ok") {
            Verdict::Passed
        } else if text.ends_with("FAILED") {
            Verdict::Failed
        } else if text.contains("ignored") {
            Verdict::Ignored
        } else {
            return None;
        };
        let name = self.pending.take()?;
        self.last()?.tests.push((name.clone(), verdict));
        Some((name, verdict))
    }

    fn own_line(&mut self, line: &str) {
        self.pending = None;
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("begin"), Some(name), None) => self.suites.push(Suite {
                name: name.to_owned(),
                tests: Vec::new(),
                status: None,
                counts: None,
            }),
            (Some("end"), Some(status), None) => {
                if let Some(suite) = self.last() {
                    suite.status = status.parse().ok();
                }
            }
            (Some("done"), None, None) => self.done = true,
            _ => {}
        }
    }

    fn last(&mut self) -> Option<&mut Suite> {
        self.suites.last_mut()
    }
}

impl Suite {
    /// Tests with this verdict.
    pub(crate) fn count(&self, wanted: Verdict) -> usize {
        let wanted = |(_, verdict): &&(String, Verdict)| *verdict == wanted;
        self.tests.iter().filter(wanted).count()
    }

    /// What is wrong beyond failed tests: a run that did not end, or verdicts that got lost.
    pub(crate) fn defect(&self) -> Option<String> {
        let seen = (self.count(Verdict::Passed), self.count(Verdict::Failed));
        match (self.status, self.counts) {
            (None, _) => Some("did not end".to_owned()),
            (Some(status), None) => Some(format!("ended with status {status} and no summary")),
            (Some(_), Some(counts)) if counts != seen => Some(format!(
                "counts {} passed and {} failed, but verdicts say {} and {}",
                counts.0, counts.1, seen.0, seen.1
            )),
            (Some(_), Some((0, 0))) => Some("ran no test".to_owned()),
            (Some(status), Some((_, 0))) if status != 0 => {
                Some(format!("ended with status {status}"))
            }
            (Some(_), Some(_)) => None,
        }
    }
}

/// Reads `ok. 3 passed; 1 failed; …`.
fn counts_of(text: &str) -> Option<(usize, usize)> {
    let number = |word: &str| {
        let before = text.split(word).next()?;
        before
            .rsplit(' ')
            .find(|part| !part.is_empty())?
            .parse()
            .ok()
    };
    Some((number(" passed")?, number(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Report {
        let mut report = Report::default();
        for line in text.lines() {
            report.line(line);
        }
        report
    }

    #[test]
    fn whole_run() {
        let report = read(
            "booting\n@begin fentry\n\nrunning 3 tests\ntest a::b ... ok\r\ntest c ... FAILED\n\
             test d ... ignored, reason\n\nfailures:\n    c\n\n\
             test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n\
             @end 101\n@done\n",
        );
        assert!(report.done);
        let suite = report.suites.first().unwrap();
        assert_eq!(suite.name, "fentry");
        assert_eq!(
            suite.tests,
            [
                ("a::b".to_owned(), Verdict::Passed),
                ("c".to_owned(), Verdict::Failed),
                ("d".to_owned(), Verdict::Ignored),
            ]
        );
        assert_eq!(suite.defect(), None);
    }

    #[test]
    fn noise_between_name_and_verdict() {
        let report = read(
            "@begin x\ntest a ... note from a child\nok\ntest b ...\nFAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored\n@end 101\n@done\n",
        );
        let suite = report.suites.first().unwrap();
        assert_eq!(suite.count(Verdict::Passed), 1);
        assert_eq!(suite.count(Verdict::Failed), 1);
        assert_eq!(suite.defect(), None);
    }

    #[test]
    fn incomplete_runs_are_defects() {
        let cases = [
            ("@begin x\ntest a ... ok\n", "did not end"),
            ("@begin x\n@end 127\n", "no summary"),
            (
                "@begin x\ntest result: ok. 0 passed; 0 failed\n@end 0\n",
                "ran no test",
            ),
            (
                "@begin x\ntest a ... ok\ntest result: ok. 2 passed; 0 failed\n@end 0\n",
                "verdicts say 1",
            ),
            (
                "@begin x\ntest a ... ok\ntest result: ok. 1 passed; 0 failed\n@end 139\n",
                "status 139",
            ),
        ];
        for (text, expected) in cases {
            let report = read(text);
            let defect = report.suites.first().and_then(Suite::defect).unwrap();
            assert!(defect.contains(expected), "{text}: {defect}");
        }
    }

    #[test]
    fn a_verdict_is_told_as_it_completes() {
        let mut report = Report::default();
        report.line("@begin x");
        assert_eq!(report.line("test a ... "), None);
        assert_eq!(report.line("ok"), Some(("a".to_owned(), Verdict::Passed)));
    }
}
