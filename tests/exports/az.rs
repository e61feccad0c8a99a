//! azure-cli, offline: Bash runs a script, `az` in it is the real one, and what it would send is recorded.

use serde_json::{Map, Value, json};

use crate::arm;
use crate::checker::Checker;
use crate::consumer::Verdict;

/// An azure-cli that is loaded.
pub(crate) struct Az(Checker);

/// What came of a script.
#[derive(Debug)]
pub(crate) struct Run {
    /// What `az` asked for, in order.
    pub(crate) requests: Vec<Request>,
    /// What is there afterwards, by path.
    pub(crate) state: Map<String, Value>,
}

/// A request to the resource manager.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Az {
    /// Loads it; `None` if it isn't installed.
    pub(crate) fn start() -> Option<Self> {
        Checker::start("az", "az.py", &[]).map(Self)
    }

    /// Runs a script in a folder that has `files`, with these variables, where `state` is there already.
    pub(crate) fn run(
        &mut self,
        script: &str,
        files: &Value,
        variables: &Value,
        state: &Map<String, Value>,
    ) -> Result<Run, String> {
        let question =
            json!({ "script": script, "files": files, "env": variables, "state": state });
        let mut answer = self.0.ask(&question)?;
        if answer["code"] != 0 {
            return Err(format!(
                "{}: {}",
                answer["code"],
                answer["said"].as_str().unwrap_or_default()
            ));
        }
        let request = |request: &mut Value| Request {
            method: request["method"].as_str().expect("a method").to_owned(),
            path: request["path"].as_str().expect("a path").to_owned(),
            body: request["body"].take(),
        };
        let requests = answer["requests"].as_array_mut().expect("a list");
        let requests = requests.iter_mut().map(request).collect();
        let Value::Object(state) = answer["state"].take() else { panic!("the state is by path") };
        Ok(Run { requests, state })
    }

    /// Whether it takes `commands`; nothing is run.
    pub(crate) fn take(&mut self, commands: &[String]) -> Verdict {
        self.0.ask(&json!({ "commands": commands })).map(drop)
    }

    /// The version of azure-cli.
    pub(crate) fn version(&self) -> String {
        self.0.version("azure-cli")
    }
}

impl Run {
    /// Holds all that was sent to Azure's schemas.
    pub(crate) fn check(&self) -> Verdict {
        self.requests.iter().try_for_each(Request::check)
    }
}

impl Request {
    fn check(&self) -> Verdict {
        if self.body.is_null() {
            return Ok(());
        }
        let kind = self.kind();
        if kind == "Microsoft.Resources/deployments" || kind.ends_with("/validate") {
            return arm::template(&self.body["properties"]["template"]);
        }
        arm::body(&kind, &self.body).map_err(|error| format!("{}: {error}", self.path))
    }

    /// The kind of resource that the path is of: every other part behind the provider's name.
    pub(crate) fn kind(&self) -> String {
        let below = self.path.rsplit("/providers/").next().unwrap_or_default();
        let mut parts = below.split('/');
        let provider = parts.next().unwrap_or_default().to_owned();
        parts.step_by(2).fold(provider, |kind, part| format!("{kind}/{part}"))
    }
}
