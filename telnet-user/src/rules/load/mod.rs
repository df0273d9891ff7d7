//! Loads rule files: everything wrong is found at once, and one bad rule never
//! stops the others.

mod files;
mod index;
mod known;
mod ndjson;
mod rule;
#[cfg(test)]
mod tests;
mod toml;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde_json::Value;

use self::files::{File, Kind};
use self::rule::Draft;
use self::rule::exceptions::ListKey;
use super::exception::Item;
use super::rule::Rule;
use super::shipped;
use crate::source::{Findings, Level, Position, Problem};

/// Where rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The rules embedded in the binary.
    Shipped,
    /// Of the embedded rules the one on what the agent holds back, unless a source before has it.
    Flood,
    /// A `.toml` or `.ndjson` file, or a folder that is searched for them.
    Path(PathBuf),
    /// A file already in memory; the ending of its name says what it is.
    Text {
        /// Name for messages, such as `a.toml`.
        name: String,
        /// The content.
        text: String,
    },
}

/// How rules are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Accept queries that Kibana accepts although they hardly mean what they say.
    pub lenient: bool,
    /// The events come from anywhere: do not warn of rules that no event of this
    /// agent can satisfy.
    pub foreign_events: bool,
    /// Refuse files and folders that others than root and the agent's user could change.
    pub trusted: bool,
    /// Data streams the events go to. A rule whose index patterns fit none of them
    /// does not run; with no stream given here, patterns are information.
    pub streams: Vec<String>,
    /// Ids of rules to enable whatever their file says.
    pub enable: Vec<String>,
    /// Ids of rules to disable; wins over `enable`.
    pub disable: Vec<String>,
}

/// What a load gave.
#[derive(Debug, Default)]
pub struct LoadReport {
    /// Rules that can run, in the order of their files. Disabled ones are
    /// included; the engine passes over them.
    pub rules: Vec<Rule>,
    /// Everything found, in the order of files and lines.
    pub problems: Vec<Problem>,
    /// Rules, lines of an export, or files that should hold a rule, that are broken.
    pub broken: usize,
    /// Rules that need something this agent does not do.
    pub unsupported: usize,
    /// Deprecated rules.
    pub skipped: usize,
}

impl LoadReport {
    /// Whether any problem is an error.
    pub fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.level == Level::Error)
    }
}

/// Loads the rules of all sources.
pub fn load(sources: &[Source]) -> LoadReport {
    load_with(sources, &Options::default())
}

/// Loads the rules of all sources, with options.
pub fn load_with(sources: &[Source], options: &Options) -> LoadReport {
    let mut collector = Collector::default();
    for source in sources {
        match source {
            Source::Shipped => {
                for (name, text) in shipped::FILES {
                    toml::read(name, text, options, &mut collector);
                }
            }
            Source::Flood => collector.flood(options),
            Source::Text { name, text } => collector.text(name, text, options),
            Source::Path(path) => {
                let mut problems = Vec::new();
                files::read(
                    path,
                    options.trusted,
                    &mut |file| collector.file(&file, options),
                    &mut problems,
                );
                collector.broken += problems.len();
                collector.problems.extend(problems);
            }
        }
    }
    collector.finish(options)
}

/// Everything read so far.
#[derive(Debug, Default)]
struct Collector {
    drafts: Vec<Draft>,
    lists: HashSet<ListKey>,
    items: Vec<(ListKey, Item)>,
    problems: Vec<Problem>,
    broken: usize,
    unsupported: usize,
    skipped: usize,
}

impl Collector {
    fn flood(&mut self, options: &Options) {
        let (name, text) = shipped::FLOOD;
        let mut own = Self::default();
        toml::read(name, text, options, &mut own);
        let is_there = |draft: &Draft| {
            let (id, name) = (&draft.rule.rule_id, &draft.rule.name);
            let mut others = self.drafts.iter().map(|other| &other.rule);
            others.any(|other| other.rule_id == *id || other.name == *name)
        };
        own.drafts.retain(|draft| !is_there(draft));
        self.drafts.append(&mut own.drafts);
    }

    fn text(&mut self, name: &str, text: &str, options: &Options) {
        match Kind::of(name) {
            Some(Kind::Toml) => toml::read(name, text, options, self),
            Some(Kind::Ndjson) => ndjson::read(name, text, options, self),
            None => {
                let message = "a rule file ends in .toml or .ndjson".to_owned();
                self.problems
                    .push(Problem::of_file(Level::Error, name, message));
                self.broken += 1;
            }
        }
    }

    fn file(&mut self, file: &File, options: &Options) {
        match file.kind {
            Kind::Toml => toml::read(&file.name, &file.text, options, self),
            Kind::Ndjson => ndjson::read(&file.name, &file.text, options, self),
        }
    }

    /// Takes the outcome of one rule.
    fn rule(&mut self, name: Option<&str>, draft: Option<Draft>, findings: Findings) {
        if findings.runnable() {
            self.drafts.extend(draft);
            self.note(name, findings);
            return;
        }
        let start = self.problems.len();
        self.note(name, findings);
        let new = self.problems.get(start..).unwrap_or_default();
        if new.iter().any(|problem| problem.level == Level::Error) {
            self.broken += 1;
        } else {
            self.unsupported += 1;
        }
    }

    /// Takes findings about the rule called `name`.
    fn note(&mut self, name: Option<&str>, findings: Findings) {
        let name = name.map(str::to_owned);
        let found = findings.into_inner().into_iter();
        self.problems.extend(found.map(|problem| Problem {
            rule: name.clone(),
            ..problem
        }));
    }

    /// Joins exceptions, then takes out rules that exclude one another.
    fn finish(mut self, options: &Options) -> LoadReport {
        let mut rules: Vec<(Rule, [Problem; 2])> = Vec::new();
        for draft in std::mem::take(&mut self.drafts) {
            let Draft {
                mut rule,
                lists,
                taken,
            } = draft;
            for wanted in lists {
                if self.lists.contains(&wanted.key) {
                    let items = self.items.iter().filter(|(key, _)| *key == wanted.key);
                    rule.exceptions.extend(items.map(|(_, item)| item.clone()));
                } else {
                    let rule = Some(rule.name.clone());
                    self.problems.push(Problem {
                        rule,
                        ..wanted.missing
                    });
                }
            }
            rule.enabled |= options.enable.contains(&rule.rule_id);
            rule.enabled &= !options.disable.contains(&rule.rule_id);
            rules.push((rule, taken));
        }
        let rules = self.unique(rules);
        let rules = self.searching(rules, &options.streams);
        let rules = self.one_of_alternatives(rules);
        self.problems
            .sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
        LoadReport {
            rules,
            problems: self.problems,
            broken: self.broken,
            unsupported: self.unsupported,
            skipped: self.skipped,
        }
    }

    /// Keeps the first rule of each id and of each name.
    fn unique(&mut self, rules: Vec<(Rule, [Problem; 2])>) -> Vec<Rule> {
        let mut seen: HashMap<(&'static str, String), String> = HashMap::new();
        let mut kept = Vec::with_capacity(rules.len());
        for (rule, taken) in rules {
            let keys = [
                ("rule_id", rule.rule_id.clone()),
                ("name", rule.name.clone()),
            ];
            let other = keys.iter().zip(taken).find_map(|(key, problem)| {
                let message = format!(
                    "{} is already used by the rule at {}",
                    key.0,
                    seen.get(key)?
                );
                Some(Problem {
                    rule: Some(rule.name.clone()),
                    message,
                    ..problem
                })
            });
            if let Some(problem) = other {
                self.problems.push(problem);
                self.broken += 1;
                continue;
            }
            let place = format!("{}:{}", rule.origin.file, rule.origin.line);
            for key in keys {
                seen.insert(key, place.clone());
            }
            kept.push(rule);
        }
        kept
    }

    /// Disables rules that search none of `streams`.
    fn searching(&mut self, mut rules: Vec<Rule>, streams: &[String]) -> Vec<Rule> {
        for rule in rules
            .iter_mut()
            .filter(|rule| rule.enabled && !streams.is_empty())
        {
            if !index::searches(&rule.index, streams) {
                rule.enabled = false;
                let message = format!(
                    "the rule searches {} and none of the streams: it does not run",
                    rule.index.join(", ")
                );
                let problem = Self::about(rule, Level::Warning, message);
                self.problems.push(problem);
            }
        }
        rules
    }

    /// Rejects an enabled rule that names an enabled one in `meta.alternative_to`:
    /// both would alert on the same events.
    fn one_of_alternatives(&mut self, rules: Vec<Rule>) -> Vec<Rule> {
        let enabled: HashMap<String, String> = rules
            .iter()
            .filter(|rule| rule.enabled)
            .map(|rule| (rule.rule_id.clone(), rule.name.clone()))
            .collect();
        let mut kept = Vec::with_capacity(rules.len());
        for rule in rules {
            let other = alternatives(&rule)
                .into_iter()
                .find_map(|id| enabled.get(id));
            match other {
                Some(other) if rule.enabled => {
                    let message = format!(
                        "this rule is an alternative to {other:?}, which is enabled too: enable one of them"
                    );
                    self.reject(&rule, message);
                }
                _ => kept.push(rule),
            }
        }
        kept
    }

    fn about(rule: &Rule, level: Level, message: String) -> Problem {
        Problem {
            position: Some(Position {
                line: rule.origin.line,
                column: 1,
            }),
            rule: Some(rule.name.clone()),
            ..Problem::of_file(level, &rule.origin.file, message)
        }
    }

    fn reject(&mut self, rule: &Rule, message: String) {
        self.problems.push(Self::about(rule, Level::Error, message));
        self.broken += 1;
    }
}

/// Ids of rules that detect the same and must not run at the same time.
fn alternatives(rule: &Rule) -> Vec<&str> {
    let list = rule
        .raw
        .get("meta")
        .and_then(|meta| meta.get("alternative_to"));
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
