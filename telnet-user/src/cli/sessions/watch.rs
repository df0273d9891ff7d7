//! `sessions --watch`: the table, again and again.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::{
    lines,
    list::Lister,
    screen::{Keyboard, Screen, Size},
};
use crate::{agent, pipeline::Now};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Shows the table until SIGINT, SIGTERM or `q`. `note` is what the reader must know about what
/// the table cannot show.
pub(super) fn run(lister: Lister, note: Option<&str>) -> anyhow::Result<()> {
    agent::runtime()
        .context("cannot start")?
        .block_on(watch(lister, note))
}

async fn watch(mut lister: Lister, note: Option<&str>) -> anyhow::Result<()> {
    let on = |kind| signal(kind).context("cannot listen for signals");
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut terminate = on(SignalKind::terminate())?;
    let mut resize = on(SignalKind::window_change())?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut output = Output::open()?;
    let mut page = Vec::new();
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = output.quit() => return Ok(()),
            _ = resize.recv() => output.resized(&page)?,
            _ = ticks.tick() => {
                page = output.page(&mut lister, note);
                output.show(&page)?;
            }
        }
    }
}

/// Where tables go.
enum Output {
    /// Each over the one before.
    Terminal {
        screen: Screen<io::Stdout>,
        keyboard: Option<Keyboard>,
    },
    /// One after the other.
    Stream { is_first: bool },
}

impl Output {
    fn open() -> anyhow::Result<Self> {
        let out = io::stdout();
        if !out.is_terminal() {
            return Ok(Self::Stream { is_first: true });
        }
        let keyboard = Keyboard::open().context("cannot read the keyboard")?;
        let screen = Screen::enter(out).context("cannot write to standard output")?;
        Ok(Self::Terminal { screen, keyboard })
    }

    fn page(&self, lister: &mut Lister, note: Option<&str>) -> Vec<String> {
        let table = lines(&lister.list().rows());
        match self {
            Self::Stream { .. } => table,
            Self::Terminal { keyboard, .. } => {
                let time = Now::read().wall;
                let how = if keyboard.is_some() { ", q quits" } else { "" };
                let title = format!("{time:.0} {}{how}", lister.ports());
                let note = note.map(str::to_owned);
                std::iter::once(title).chain(note).chain(table).collect()
            }
        }
    }

    fn show(&mut self, page: &[String]) -> anyhow::Result<()> {
        let written = match self {
            Self::Terminal { screen, .. } => screen.draw(page, Size::of_stdout()),
            Self::Stream { is_first } => {
                let separator = if *is_first { "" } else { "\n" };
                *is_first = false;
                let text = format!("{separator}{}\n", page.join("\n"));
                let mut out = io::stdout();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
        };
        written.context("cannot write to standard output")
    }

    fn resized(&mut self, page: &[String]) -> anyhow::Result<()> {
        match self {
            Self::Terminal { .. } => self.show(page),
            Self::Stream { .. } => Ok(()),
        }
    }

    /// Waits until the reader wants to quit.
    async fn quit(&self) {
        match self {
            Self::Terminal {
                keyboard: Some(keyboard),
                ..
            } => keyboard.quit().await,
            Self::Terminal { keyboard: None, .. } | Self::Stream { .. } => {
                std::future::pending::<()>().await;
            }
        }
    }
}
