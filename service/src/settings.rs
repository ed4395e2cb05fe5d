//! What a program was told: which settings it uses, and which environment variables it does not know.
//!
//! A typo in the name of a variable would otherwise be silent, and the default would hold. The known
//! names come from the command line's own description; nothing is listed a second time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use clap::{Arg, ArgMatches, Command, Parser, parser::ValueSource};

use crate::output;

/// What a secret's value is shown as.
const HIDDEN: &str = "***";
/// How many known names have to share their first word before another variable with that word is
/// taken for a setting of ours. Lower: `RUST_BACKTRACE` would be, because of `RUST_LOG`.
const FAMILY: usize = 2;

/// The settings that a program was given.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    given: Vec<Setting>,
    defaults: Vec<Setting>,
    unknown: Vec<UnknownVariable>,
}

/// One setting, as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    name: String,
    value: String,
    /// The environment variable that it comes from, if it does.
    variable: Option<String>,
}

/// An environment variable that looks like a setting of the program and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct UnknownVariable {
    name: String,
    nearest: Option<String>,
}

/// Reads the command line and the environment, or ends the process with what is wrong about them.
pub fn parse<P: Parser>() -> (P, Settings) {
    let command = P::command();
    let matches = command.clone().get_matches();
    let parsed = P::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut P::command()).exit());
    let environment = std::env::vars_os();
    let environment = environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let environment = environment.map(|(name, value)| (name, value.to_string_lossy().into_owned()));
    (parsed, Settings::new(&command, &matches, environment))
}

impl Settings {
    fn new(command: &Command, matches: &ArgMatches, environment: impl Iterator<Item = (String, String)>) -> Self {
        let mut settings = Self::default();
        settings.collect(command, matches);
        let mut known = BTreeSet::new();
        collect_variables(command, &mut known);
        settings.unknown = unknown(&known, environment);
        settings
    }

    fn collect(&mut self, command: &Command, matches: &ArgMatches) {
        for arg in command.get_arguments() {
            let (Some(name), Some(value)) = (arg.get_long(), value(arg, matches)) else { continue };
            let source = matches.value_source(arg.get_id().as_str());
            let variable = (source == Some(ValueSource::EnvVariable)).then(|| variable(arg)).flatten();
            let setting = Setting { name: name.to_owned(), value, variable };
            let list = if source == Some(ValueSource::DefaultValue) { &mut self.defaults } else { &mut self.given };
            list.push(setting);
        }
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            self.collect(command, matches);
        }
    }

    /// Logs which settings a service uses, and warns of variables that it does not know.
    pub fn log(&self) {
        tracing::info!("{self}");
        self.unknown.iter().for_each(|unknown| tracing::warn!("{unknown}"));
    }

    /// Warns on standard error of variables that a command does not know.
    pub fn warn(&self) {
        self.unknown.iter().for_each(|unknown| output::note(format_args!("warning: {unknown}")));
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings:")?;
        self.given.iter().try_for_each(|setting| write!(f, " {setting}"))?;
        f.write_str(if self.given.is_empty() { " by default:" } else { "; by default:" })?;
        self.defaults.iter().try_for_each(|setting| write!(f, " {setting}"))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)?;
        self.variable.as_ref().map_or(Ok(()), |variable| write!(f, " ({variable})"))
    }
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment variable {} is no setting of this program and changes nothing; ", self.name)?;
        match &self.nearest {
            Some(nearest) => write!(f, "did you mean {nearest}?"),
            None => f.write_str("--help names those that are"),
        }
    }
}

fn variable(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

/// Returns a setting's value as it may be shown; `None` where it has none.
fn value(arg: &Arg, matches: &ArgMatches) -> Option<String> {
    let values = matches.try_get_raw(arg.get_id().as_str()).ok()??;
    if arg.is_hide_env_values_set() {
        return Some(HIDDEN.to_owned());
    }
    let values: Vec<String> = values.map(|value| without_login(&value.to_string_lossy())).collect();
    Some(values.join(","))
}

/// Returns a URL, with or without its scheme, without the user and the password in it.
fn without_login(text: &str) -> String {
    let (scheme, rest) = text.find("://").map_or(("", text), |end| text.split_at(end + 3));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}{HIDDEN}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

fn collect_variables(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(command.get_arguments().filter_map(variable));
    command.get_subcommands().for_each(|command| collect_variables(command, known));
}

/// Returns the variables that are not known and are meant for us: their first word is that of
/// several known ones, or they are a known name with a typo.
fn unknown(known: &BTreeSet<String>, environment: impl Iterator<Item = (String, String)>) -> Vec<UnknownVariable> {
    let family = |name: &str| name.split_once('_').map(|(first, _)| first.to_owned());
    let mut families: BTreeMap<String, usize> = BTreeMap::new();
    for first in known.iter().filter_map(|name| family(name)) {
        *families.entry(first).or_default() += 1;
    }
    let is_ours = |name: &str| family(name).and_then(|first| families.get(&first)).is_some_and(|n| *n >= FAMILY);
    let mut unknown: Vec<_> = environment
        .filter(|(name, value)| !known.contains(name) && !is_service_link(name, value))
        .filter_map(|(name, _)| {
            let nearest = nearest(known, &name);
            (is_ours(&name) || nearest.is_some()).then_some(UnknownVariable { name, nearest })
        })
        .collect();
    unknown.sort_by(|a, b| a.name.cmp(&b.name));
    unknown
}

/// Returns the known name that a name is most like, if it is a typo of it.
fn nearest(known: &BTreeSet<String>, name: &str) -> Option<String> {
    let upper = name.to_uppercase();
    let distance = |known: &String| (strsim::osa_distance(known, &upper), known.len());
    let nearest = known.iter().min_by_key(|known| distance(known))?;
    (distance(nearest).0 <= (nearest.len() / 4).clamp(1, 3)).then(|| nearest.clone())
}

/// Whether Kubernetes or Docker made the variable, for a service whose name begins as ours do.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://"].iter().any(|scheme| value.starts_with(scheme));
    name.contains("_SERVICE_") || name.contains("_PORT_") || is_url && name.ends_with("_PORT")
}

#[cfg(test)]
mod tests {
    use clap::{Args, CommandFactory, Subcommand};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[arg(long, env = "RUST_LOG", default_value = "info")]
        log: String,
        #[command(subcommand)]
        command: Task,
    }

    #[derive(Debug, Subcommand)]
    enum Task {
        Run(RunArgs),
        Show,
    }

    #[derive(Debug, Args)]
    struct RunArgs {
        #[arg(long, env = "SHARDING_MODE", default_value = "nats")]
        sharding_mode: String,
        #[arg(long, env = "SHARDING_TOKEN", hide_env_values = true)]
        sharding_token: Option<String>,
        #[arg(long, env = "NATS_URL", value_delimiter = ',', default_value = "nats://127.0.0.1:4222")]
        nats_url: Vec<String>,
        #[arg(long, env = "NATS_USER")]
        nats_user: Option<String>,
        #[arg(long, env = "PLAINTEXT")]
        plaintext: bool,
    }

    fn settings(line: &str, environment: &[(&str, &str)]) -> Settings {
        let command = Program::command();
        let matches = command.clone().try_get_matches_from(line.split(' ')).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::new(&command, &matches, environment)
    }

    fn warnings(environment: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        let unknown = settings("program show", environment).unknown;
        unknown.into_iter().map(|unknown| (unknown.name, unknown.nearest)).collect()
    }

    #[test]
    fn what_is_used_is_told_with_where_it_comes_from_and_without_any_secret() {
        let line = "program run --sharding-token canary --nats-url nats://me:canary@a:1/?x=@,me:canary@b:2 --plaintext";
        let told = settings(line, &[]).to_string();
        assert!(!told.contains("canary"), "{told}");
        for wanted in ["sharding-token=***", "nats-url=nats://***@a:1/?x=@,***@b:2", "plaintext=true; by default:"] {
            assert!(told.contains(wanted), "{wanted:?} is not in {told}");
        }
        let (_, defaults) = told.split_once("by default:").unwrap();
        assert!(defaults.contains("sharding-mode=nats") && defaults.contains("log=info"), "{told}");
    }

    #[test]
    fn a_variable_with_a_typo_is_named_with_the_name_that_was_meant() {
        for (typo, meant) in [
            ("SHARDING_MOD", "SHARDING_MODE"),
            ("SHARDING_MODES", "SHARDING_MODE"),
            ("SHARDNG_MODE", "SHARDING_MODE"),
            ("sharding_mode", "SHARDING_MODE"),
            ("NATS_ULR", "NATS_URL"),
            ("PLAINTXT", "PLAINTEXT"),
        ] {
            assert_eq!(warnings(&[(typo, "x")]), [(typo.to_owned(), Some(meant.to_owned()))]);
        }
        assert_eq!(warnings(&[("SHARDING_COLOUR", "red")]), [("SHARDING_COLOUR".to_owned(), None)]);
    }

    #[test]
    fn other_programs_variables_and_those_of_containers_are_left_alone() {
        let others = [
            ("SHARDING_MODE", "api"),
            ("RUST_BACKTRACE", "1"),
            ("PATH", "/bin"),
            ("HOME", "/"),
            ("WRITER_WORKERS", "2"),
            ("NATS_SERVICE_HOST", "10.0.0.1"),
            ("NATS_PORT", "tcp://10.0.0.1:4222"),
            ("NATS_PORT_4222_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(warnings(&others), []);
    }
}
