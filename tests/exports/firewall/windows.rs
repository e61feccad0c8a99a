//! Windows Firewall. PowerShell can't be had here: a grammar judges the syntax, and that every argument is a literal.

use allowlist_gen::export::Format;
use tree_sitter::{Node, Parser};

use super::accepts_unusual;
use crate::consumer::{self, Mutation, Verdict};
use crate::{lists, matrix};

#[test]
fn the_script_is_commands_with_literals_and_nothing_else() {
    let judgement = consumer::judge(
        Format::WindowsFirewall,
        &[
            Mutation { from: "'acr-allowlist'", to: "'acr-allowlist" },
            Mutation { from: "'contoso.azurecr.io'", to: "'contoso'.azurecr.io'" },
            Mutation { from: "'contoso.azurecr.io'", to: "\"contoso.azurecr.io\"" },
            Mutation { from: "'contoso.azurecr.io'", to: "(Get-Content x)" },
            Mutation { from: "'contoso.azurecr.io'", to: "'contoso.azurecr.io'; Remove-Item 'x'" },
            Mutation { from: "-AutoResolve $true", to: "-AutoResolve $true | Out-File 'x'" },
            Mutation { from: "New-NetFirewallRule", to: "New-NetFirewalRule" },
            Mutation { from: "-Direction 'Outbound'", to: "-Directions 'Outbound'" },
            Mutation { from: "-RemotePort '443' ", to: "" },
        ],
        check,
    );
    accepts_unusual(Format::WindowsFirewall, &[], check);
    let consumer = "tree-sitter-powershell; commands and literals by our own reader";
    matrix::record(Format::WindowsFirewall, consumer, &grammar_version(), judgement);
}

/// The version of the grammar that this was built with.
fn grammar_version() -> String {
    let lock = std::fs::read_to_string(lists::tests().join("../Cargo.lock")).expect("a file");
    let (_, package) =
        lock.split_once("name = \"tree-sitter-powershell\"\nversion = \"").expect("a package");
    package.split('"').next().expect("a version").to_owned()
}

/// Whether the script is ASCII, and in it are only the known cmdlets, with all their parameters and with literals.
fn check(text: &str) -> Verdict {
    if !text.is_ascii() {
        return Err("what isn't ASCII depends on the machine's code page".to_owned());
    }
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).expect("the grammar's version");
    let tree = parser.parse(text, None).expect("a tree");
    let mut problem = None;
    walk(tree.root_node(), &mut |node| {
        let is_known = if node.is_named() {
            KINDS.contains(&node.kind())
        } else {
            [" ", ",", "="].contains(&node.kind())
        };
        let said = &text[node.byte_range()];
        let is_fine = match node.kind() {
            "command" => CMDLETS.contains(&call(node, text).as_str()),
            "variable" => ["$true", "$ErrorActionPreference"].contains(&said),
            _ => is_known,
        };
        if problem.is_none() && (node.is_error() || node.is_missing() || !is_fine) {
            problem = Some(format!("{}: {said}", node.kind()));
        }
    });
    problem.map_or(Ok(()), Err)
}

/// A command's name and parameters, without their values.
fn call(command: Node<'_>, text: &str) -> String {
    let mut words = Vec::new();
    walk(command, &mut |node| {
        if ["command_name", "command_parameter"].contains(&node.kind()) {
            words.push(&text[node.byte_range()]);
        }
    });
    words.join(" ")
}

fn walk<'a>(node: Node<'a>, look: &mut impl FnMut(Node<'a>)) {
    look(node);
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        walk(child, look);
    }
}

/// The calls that the script may make.
const CMDLETS: [&str; 4] = [
    "Remove-NetFirewallRule -Group -ErrorAction",
    "Remove-NetFirewallDynamicKeywordAddress -Id -ErrorAction",
    "New-NetFirewallDynamicKeywordAddress -Id -Keyword -AutoResolve",
    "New-NetFirewallRule -Name -DisplayName -Description -Group -Direction -Action -Protocol -RemotePort \
     -RemoteDynamicKeywordAddresses",
];

/// What else may be in the tree: words in single quotes, lists of them, and the many kinds of expression that a value
/// is when it is none of them.
const KINDS: [&str; 24] = [
    "additive_expression",
    "array_literal_expression",
    "assignement_operator",
    "assignment_expression",
    "bitwise_expression",
    "command_argument_sep",
    "command_elements",
    "command_name",
    "command_parameter",
    "comment",
    "comparison_expression",
    "format_expression",
    "left_assignment_expression",
    "logical_expression",
    "multiplicative_expression",
    "pipeline",
    "pipeline_chain",
    "program",
    "range_expression",
    "statement_list",
    "string_literal",
    "unary_expression",
    "variable",
    "verbatim_string_characters",
];
