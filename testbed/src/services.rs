//! How our own services are started.

use std::{ffi::OsString, net::SocketAddr};

use crate::{
    binaries::Binaries,
    home::Home,
    options::{FleetOptions, Placement},
    plan::Plan,
    ports::loopback,
    process::Launch,
    ready::Ready,
};

/// What they have in common.
pub(crate) struct Services<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) home: &'a Home,
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a FleetOptions,
}

impl Services<'_> {
    pub(crate) fn directory(&self) -> anyhow::Result<Launch> {
        let meta = self.home.private_folder("directory")?.join("meta.db");
        let placement = match self.options.placement {
            Placement::Auto => "auto",
            Placement::Strict => "strict",
        };
        let meta = format!("sqlite://{}", meta.display());
        let args = ["serve", "--meta", &meta, "--placement", placement];
        Ok(self.launch("directory", "directory", &args, loopback(self.plan.directory)))
    }

    pub(crate) fn ingest(&self) -> Launch {
        self.launch("ingest", "ingest", &[], loopback(self.plan.ingest))
    }

    /// The writer with that index.
    pub(crate) fn writer(&self, index: usize) -> Launch {
        let (workers, idle) = (self.options.workers.to_string(), self.options.idle_advance_ms.to_string());
        let mut args = vec!["run", "--workers", &workers, "--idle-advance-ms", &idle];
        args.extend(self.options.writer_args.iter().map(String::as_str));
        let name = if index == 0 { "writer".to_owned() } else { format!("writer{}", index + 1) };
        self.launch(&name, "writer", &args, loopback(self.plan.writers[index]))
    }

    fn launch(&self, name: &str, program: &str, args: &[&str], listen: SocketAddr) -> Launch {
        let listen_args = [OsString::from("--listen"), listen.to_string().into()];
        Launch {
            name: name.to_owned(),
            program: self.binaries.path(program),
            args: args.iter().map(OsString::from).chain(listen_args).collect(),
            env: self.environment(),
            log: self.home.log(name),
            ready: Ready::Http(listen),
            own_group: self.options.own_group,
        }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("NATS_URL", format!("nats://{}", loopback(self.plan.nats))),
            ("JOURNAL_PARTITIONS", self.plan.partitions.to_string()),
            ("JOURNAL_MAX_BYTES", self.options.journal_max_bytes.to_string()),
        ]
    }
}
