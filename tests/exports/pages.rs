//! The pages about the formats: `docs/exports/FORMAT.md` is what `allowlist-gen formats FORMAT` says, and
//! `docs/exports/README.md` has a line for each.
//!
//! `UPDATE_EXPECT=1 cargo test -p allowlist-gen --test exports pages` writes them anew.

use std::fmt::Write;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use allowlist_gen::export::{Format, Kind, Page};
use expect_test::expect_file;

use crate::{consumer, lists};

#[test]
fn every_format_has_the_page_that_the_program_prints() {
    for &format in Format::ALL {
        expect_file![folder().join(format!("{}.md", format.name()))]
            .assert_eq(&Page(format).to_string());
    }
}

#[test]
fn the_index_has_every_format() {
    let mut index = String::from(
        "# Export formats\n\n\
         `allowlist-gen export FORMAT allowlist.toml` writes a list for whatever enforces or uses it. What each format was put \
         through stands in [the matrix](matrix.md).\n\n\
         An export holds every entry or fails and says which one it can't say; what a format leaves out on purpose stands on its \
         page. It never widens one. Equal lists and settings give equal bytes.\n\n\
         What a rule can hold depends on what its target goes by:\n",
    );
    for kind in Kind::ALL {
        let (name, meaning) = (kind.name(), kind.meaning());
        write!(
            index,
            "\n## {name}\n\n{meaning}\n\n| format | for | validated by |\n|---|---|---|\n"
        )
        .expect("memory");
        for format in Format::ALL.iter().filter(|format| format.about().kind == kind) {
            let (name, summary) = (format.name(), format.summary());
            let validator = format.about().validator;
            writeln!(index, "| [{name}]({name}.md) | {summary} | {validator} |").expect("memory");
        }
    }
    expect_file![folder().join("README.md")].assert_eq(&index);
}

/// The table in the README has every format, by what its target goes by.
#[test]
fn the_readme_has_every_format() {
    let mut table = String::from("| kind | | formats |\n|---|---|---|\n");
    for kind in Kind::ALL {
        let formats = Format::ALL.iter().filter(|format| format.about().kind == kind);
        let links: Vec<String> = formats
            .map(|format| format!("[{name}](docs/exports/{name}.md)", name = format.name()))
            .collect();
        writeln!(table, "| {} | {} | {} |", kind.name(), kind.meaning(), links.join(", "))
            .expect("memory");
    }
    let readme = lists::tests().join("../README.md");
    let text = std::fs::read_to_string(&readme).expect("the README");
    let (before, rest) = text.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where it ends");
    expect_file![readme].assert_eq(&[before, BEGIN, &table, END, after].concat());
}

const BEGIN: &str = "<!-- The formats: a test writes this table. -->\n\n";
const END: &str = "\n<!-- The end of the formats. -->";

/// Every line of help is a sentence's worth, and every format can be applied.
#[test]
fn every_format_says_what_a_person_needs() {
    for &format in Format::ALL {
        let about = format.about();
        assert!(!about.apply.is_empty(), "{}: how is it applied?", format.name());
        assert!(!about.validator.is_empty(), "{}: what validates it?", format.name());
        for setting in about.needs {
            assert!(about.takes.contains(setting), "{} needs what it doesn't take", format.name());
        }
        for note in about.notes {
            assert!(note.ends_with('.') && !note.contains("  ") && !note.contains('\n'), "{note}");
        }
    }
}

/// A page's commands may be pasted as a whole: what fails, a check above all, ends them.
#[test]
fn a_failed_command_of_a_page_stops_those_after_it() {
    const FORMATS: [Format; 12] = [
        Format::Squid,
        Format::Haproxy,
        Format::Nginx,
        Format::Dante,
        Format::Envoy,
        Format::EnvoySni,
        Format::Tinyproxy,
        Format::Privoxy,
        Format::Dnsmasq,
        Format::Unbound,
        Format::Zone,
        Format::Rpz,
    ];
    for format in FORMATS {
        let whole = commands_run(format, None);
        assert!(whole.len() > 1, "{}: {whole:?}", format.name());
        for failing in 1..=whole.len() {
            let (run, rest) = whole.split_at(failing);
            assert_eq!(
                commands_run(format, Some(failing)),
                run,
                "{}: and not {rest:?}",
                format.name()
            );
        }
        // What replaces a whole configuration is put there after the copy that a note tells of.
        let about = format.about();
        for copy in whole.iter().filter(|command| command.starts_with("cp ")) {
            let kept = copy.rsplit(' ').next().expect("a file");
            assert!(about.notes.iter().any(|note| note.contains(kept)), "{copy}");
        }
    }
}

/// The commands that a page runs, of which the one of that number, counted from 1, fails: programs of the same names that
/// write down what they were told, and no more.
fn commands_run(format: Format, failing: Option<usize>) -> Vec<String> {
    let apply = format.about().apply;
    assert!(!apply.contains(">/") && !apply.contains("> /"), "it would write to this machine");
    let folder = tempfile::tempdir().expect("a folder");
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    std::fs::write(folder.path().join(format.about().file), "").expect("a file");
    let stand_in = "#!/bin/sh\necho \"${0##*/} $*\" >>commands\n\
        n=0; while read -r line; do n=$((n + 1)); done <commands\n\
        test \"$n\" -ne \"$FAILING\"\n";
    for program in PROGRAMS {
        let file = bin.join(program);
        std::fs::write(&file, stand_in).expect("a program");
        std::fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("a program");
    }
    // Nothing else is to be found; `cat` is a function, which isn't written down.
    let script = format!("cat() {{ /bin/cat \"$@\"; }}\n{apply}\n");
    let mut shell = Command::new("/bin/sh");
    shell
        .current_dir(folder.path())
        .env("PATH", &bin)
        .env("FAILING", failing.unwrap_or(0).to_string());
    let output = shell.arg("-c").arg(script).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "{}: {said}", format.name());
    assert_eq!(output.status.success(), failing.is_none(), "{}", format.name());
    let commands = std::fs::read_to_string(folder.path().join("commands")).expect("commands");
    let here = folder.path().display().to_string();
    commands.lines().map(|line| line.replace(&here, "HERE")).collect()
}

/// What the pages run.
const PROGRAMS: [&str; 16] = [
    "squid",
    "haproxy",
    "nginx",
    "danted",
    "envoy",
    "privoxy",
    "dnsmasq",
    "unbound-checkconf",
    "unbound-control",
    "named-checkzone",
    "rndc",
    "rec_control",
    "systemctl",
    "install",
    "cp",
    "sed",
];

/// Commands are pasted: a line that isn't whole would swallow what comes after it.
#[test]
fn every_block_of_commands_is_whole() {
    for &format in Format::ALL {
        let mut shell = Command::new("bash");
        let verdict = consumer::run(shell.args(["-n", "-c", format.about().apply]));
        assert_eq!(verdict, Ok(()), "{}", format.name());
    }
}

fn folder() -> PathBuf {
    lists::tests().join("../docs/exports")
}
