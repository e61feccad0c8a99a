//! Puts other people's texts where they can do no harm: into one line, between quotes, or both.

use ringfence_config::snippet::escape;

/// `text` in one line, between quotes and cut at 120 characters: for comments, which end with the line and begin
/// nothing else. The closing quote keeps a backslash from the end of the line.
pub(super) fn remark(text: &str) -> String {
    let line = escape(text);
    let mut cut: String = line.chars().take(120).collect();
    if cut.len() < line.len() {
        cut.push('…');
    }
    format!("\"{cut}\"")
}

/// `value` as indented JSON, with a newline at the end.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    let mut text =
        serde_json::to_string_pretty(value).expect("strings, numbers, lists and maps are JSON");
    text.push('\n');
    text
}

/// `value` as YAML, which the reader takes for what it is: `"no"` and `"443"` have quotes.
pub(super) fn yaml(value: &impl serde::Serialize) -> String {
    serde_saphyr::to_string(value).expect("strings, numbers, lists and maps are YAML")
}

/// `text` as a string of Bicep, in which nothing is interpolated.
/// <https://learn.microsoft.com/azure/azure-resource-manager/bicep/data-types#strings>
pub(super) fn bicep(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('\'', r"\'").replace("${", r"\${");
    format!("'{}'", text.replace('\n', r"\n").replace('\r', r"\r").replace('\t', r"\t"))
}

/// `text` as a string of HCL, Terraform's language, in which nothing is interpolated.
/// <https://developer.hashicorp.com/terraform/language/expressions/strings>
pub(super) fn hcl(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', "\\\"").replace("${", "$${");
    let text = text.replace("%{", "%%{").replace('\n', r"\n");
    format!("\"{}\"", text.replace('\r', r"\r").replace('\t', r"\t"))
}

/// `text` as one word of a shell, in which nothing is expanded.
/// <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02_02>
pub(crate) fn shell(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_interpolated_and_no_string_ends_early() {
        for (text, in_bicep, in_hcl) in [
            ("contoso", "'contoso'", "\"contoso\""),
            ("it's", r"'it\'s'", "\"it's\""),
            ("\"quoted\"", "'\"quoted\"'", r#""\"quoted\"""#),
            ("${a} %{if b}", r"'\${a} %{if b}'", "\"$${a} %%{if b}\""),
            ("ends with \\", r"'ends with \\'", r#""ends with \\""#),
            ("a\nb\r\tc", r"'a\nb\r\tc'", r#""a\nb\r\tc""#),
        ] {
            assert_eq!((bicep(text).as_str(), hcl(text).as_str()), (in_bicep, in_hcl));
        }
    }

    #[test]
    fn a_shell_takes_it_for_one_word() {
        for (text, word) in [
            ("rg-network", "rg-network"),
            ("/subscriptions/s/a_b", "/subscriptions/s/a_b"),
            ("rg(1)", "'rg(1)'"),
            ("", "''"),
            ("it's $(id)", r"'it'\''s $(id)'"),
        ] {
            assert_eq!(shell(text), word);
        }
    }
}
