//! How our own services are started.

use std::{ffi::OsString, net::SocketAddr};

use secrecy::SecretString;

use crate::{
    binaries::Binaries,
    home::Home,
    nats_users::{NatsUser, NatsUsers},
    options::{FleetOptions, Placement},
    plan::Plan,
    ports::loopback,
    process::Launch,
    ready::Ready,
    tokens::DirectoryTokens,
};

/// What they have in common.
pub(crate) struct Services<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) home: &'a Home,
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a FleetOptions,
    pub(crate) nats_users: &'a NatsUsers,
    pub(crate) tokens: &'a DirectoryTokens,
}

impl Services<'_> {
    pub(crate) fn directory(&self) -> anyhow::Result<Launch> {
        let meta = self.home.private_folder("directory")?.join("meta.db");
        let placement = match self.options.placement {
            Placement::Auto => "auto",
            Placement::Strict => "strict",
        };
        let meta = format!("sqlite://{}", meta.display());
        let measure = self.options.measure_s.to_string();
        let args = ["serve", "--meta", &meta, "--placement", placement, "--measure-s", &measure];
        Ok(self.launch("directory", NatsUser::Directory, &args, loopback(self.plan.directory)))
    }

    pub(crate) fn ingest(&self) -> Launch {
        let args: Vec<_> = self.options.ingest_args.iter().map(String::as_str).collect();
        self.launch("ingest", NatsUser::Ingest, &args, loopback(self.plan.ingest))
    }

    /// The writer with that index.
    pub(crate) fn writer(&self, index: usize) -> Launch {
        let (workers, idle) = (self.options.workers.to_string(), self.options.idle_advance_ms.to_string());
        let mut args = vec!["run", "--workers", &workers, "--idle-advance-ms", &idle];
        args.extend(self.options.writer_args.iter().map(String::as_str));
        let name = if index == 0 { "writer".to_owned() } else { format!("writer{}", index + 1) };
        under(
            &self.options.writer_under,
            self.launch(&name, NatsUser::Writer, &args, loopback(self.plan.writers[index])),
        )
    }

    /// The program bears the name of its user.
    pub(crate) fn launch(&self, name: &str, user: NatsUser, args: &[&str], listen: SocketAddr) -> Launch {
        let listen_args = [OsString::from("--listen"), listen.to_string().into()];
        Launch {
            name: name.to_owned(),
            program: self.binaries.path(user.name()),
            args: args.iter().map(OsString::from).chain(listen_args).collect(),
            env: self.environment(user),
            log: self.home.log(name),
            ready: Ready::Http(listen),
            own_group: self.options.own_group,
        }
    }

    fn environment(&self, user: NatsUser) -> Vec<(&'static str, SecretString)> {
        let settings = [
            ("JOURNAL_PARTITIONS", self.plan.partitions.to_string()),
            ("JOURNAL_REPLICAS", self.options.replicas().to_string()),
            ("JOURNAL_MAX_BYTES", self.options.journal_max_bytes.to_string()),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name, value.into()));
        let login = self.nats_users.login(user, self.plan.nats_url()).environment();
        let tokens = match user {
            NatsUser::Directory => vec![
                ("DIRECTORY_READER_TOKEN", self.tokens.reader.clone()),
                ("DIRECTORY_ADMIN_TOKEN", self.tokens.admin.clone()),
            ],
            // For those who are told to ask over HTTP.
            _ => vec![("SHARDING_TOKEN", self.tokens.reader.clone())],
        };
        login.into_iter().chain(tokens).chain(settings).collect()
    }
}

/// A launch by another command, if there is one.
fn under(command: &[String], launch: Launch) -> Launch {
    let Some((first, more)) = command.split_first() else { return launch };
    let args = more.iter().map(OsString::from).chain([launch.program.into_os_string()]).chain(launch.args);
    Launch { program: first.into(), args: args.collect(), ..launch }
}
