//! What a test needs from the machine: locally a reason to skip it, in CI a reason to fail.

use std::path::Path;

/// Whether these programs are installed and namespaces can be made; says what isn't so.
///
/// # Panics
///
/// In CI (`CI=true`), where a test that doesn't run is a test that fails.
#[must_use]
pub fn require(programs: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        return skip("making network namespaces takes root");
    }
    match programs.iter().find(|program| !installed(program)) {
        Some(missing) => skip(&format!("`{missing}` is not installed")),
        None => true,
    }
}

/// Whether this program is installed, for what needs nothing else; says so if it isn't.
///
/// # Panics
///
/// In CI (`CI=true`).
#[must_use]
pub fn require_program(program: &str) -> bool {
    installed(program) || skip(&format!("`{program}` is not installed"))
}

/// Says that a test is skipped, and why. Always `false`, so that it can end a condition.
///
/// # Panics
///
/// In CI (`CI=true`).
#[expect(clippy::print_stderr, reason = "a skipped test must say so where the person looks")]
pub fn skip(reason: &str) -> bool {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "cannot be skipped in CI: {reason}"
    );
    eprintln!("skipped: {reason}");
    false
}

fn installed(program: &str) -> bool {
    PATH.split(':').any(|directory| Path::new(directory).join(program).exists())
}

/// Where programs are looked for, and what they inherit: Debian's, not the developer's.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
