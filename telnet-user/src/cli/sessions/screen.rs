//! A terminal that shows one page at a time, and gives back what was there before.

use std::{
    io::{self, IsTerminal as _, Read as _, Write},
    sync::Arc,
    thread,
};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::sync::Notify;

/// The alternate screen, without a cursor and without wrapping what is too long.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";
/// To the upper left corner; what was there is written over, so that nothing flickers.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Size of a terminal that does not tell.
const DEFAULT_SIZE: Size = Size {
    columns: 80,
    rows: 24,
};

/// Characters of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Size {
    /// That of the terminal on standard output.
    pub(super) fn of_stdout() -> Self {
        let Ok(size) = tcgetwinsize(io::stdout()) else {
            return DEFAULT_SIZE;
        };
        let known = |number: u16, default| match usize::from(number) {
            0 => default,
            number => number,
        };
        Self {
            columns: known(size.ws_col, DEFAULT_SIZE.columns),
            rows: known(size.ws_row, DEFAULT_SIZE.rows),
        }
    }
}

/// A terminal in use; left when dropped.
#[derive(Debug)]
pub(super) struct Screen<W: Write> {
    out: W,
}

impl<W: Write> Screen<W> {
    /// Takes the terminal over.
    pub(super) fn enter(mut out: W) -> io::Result<Self> {
        out.write_all(ENTER)?;
        Ok(Self { out })
    }

    /// Shows the head of a page, as much as fits.
    pub(super) fn draw(&mut self, page: &[String], size: Size) -> io::Result<()> {
        let mut text = HOME.to_owned();
        for (index, line) in fit(page, size).iter().enumerate() {
            if index > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line);
            text.push_str(CLEAR_LINE);
        }
        text.push_str(CLEAR_BELOW);
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _left = self.out.write_all(LEAVE).and_then(|()| self.out.flush());
    }
}

/// Cuts lines and page; the last line says how many more there are.
fn fit(page: &[String], size: Size) -> Vec<String> {
    let is_cut = page.len() > size.rows;
    let shown = if is_cut {
        size.rows.saturating_sub(1)
    } else {
        page.len()
    };
    let more = is_cut.then(|| format!("{} more", page.len() - shown));
    page.iter()
        .take(shown)
        .chain(more.as_ref())
        .map(|line| line.chars().take(size.columns).collect())
        .collect()
}

/// The keyboard, each key as it is typed and without echo; as it was before when dropped.
#[derive(Debug)]
pub(super) struct Keyboard {
    before: Termios,
    quit: Arc<Notify>,
}

impl Keyboard {
    /// Takes standard input over; none when it is no terminal.
    pub(super) fn open() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        let keyboard = Self {
            before,
            quit: Arc::default(),
        };
        tcsetattr(&stdin, OptionalActions::Now, &modes)?;
        let quit = Arc::clone(&keyboard.quit);
        // Its read ends with the process.
        thread::Builder::new()
            .name("keyboard".to_owned())
            .spawn(move || read_keys(&quit))?;
        Ok(Some(keyboard))
    }

    /// Waits until `q` is typed.
    pub(super) async fn quit(&self) {
        self.quit.notified().await;
    }
}

/// Returns once nothing more can be typed.
fn read_keys(quit: &Notify) {
    for key in io::stdin().lock().bytes() {
        match key {
            Ok(b'q') => quit.notify_one(),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _restored = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_page_is_cut_to_the_terminal() {
        let size = |columns, rows| Size { columns, rows };
        let all = page(&["été 1", "two", "three", "four"]);
        for (size, expected) in [
            (size(80, 24), vec!["été 1", "two", "three", "four"]),
            (size(80, 4), vec!["été 1", "two", "three", "four"]),
            (size(3, 3), vec!["été", "two", "2 m"]),
            (size(80, 1), vec!["4 more"]),
        ] {
            assert_eq!(fit(&all, size), expected, "{size:?}");
        }
        assert!(fit(&[], size(80, 24)).is_empty());
    }

    #[test]
    fn the_terminal_is_given_back() {
        let mut out = Vec::new();
        let mut screen = Screen::enter(&mut out).expect("written");
        screen
            .draw(&page(&["a", "b"]), DEFAULT_SIZE)
            .expect("written");
        drop(screen);
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(
            text,
            "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\
             \u{1b}[Ha\u{1b}[K\r\nb\u{1b}[K\u{1b}[J\
             \u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"
        );
    }
}
