//! The graph as the file states it, and the order in which its nodes can be computed.
//!
//! Nodes that no output needs are dropped here, with whatever they would have refused: exporters
//! leave float weights behind as "inputs" when they quantise.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::collections::{HashMap, HashSet};

use super::{
    error::{ModelError, OutputFlaw, Refusal},
    tensor::Tensor,
};

/// An input as the graph declares it; a dimension that is not a number is `None`.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) dims: Vec<Option<usize>>,
}

#[derive(Debug)]
pub(super) enum Attribute {
    Float(f32),
    Floats(Vec<f32>),
    Int(i64),
    Ints(Vec<i64>),
    Tensor(Tensor),
    Text(String),
    /// A kind that no carried operator has.
    Other,
}

#[derive(Debug)]
pub(super) struct Node {
    /// As in the file, or made from its position where the file gives none.
    pub(super) name: String,
    pub(super) operator: String,
    /// Names; an empty one is an input left out.
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) attributes: Vec<(String, Attribute)>,
}

impl Node {
    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// An integer attribute, or what the standard says when it is left out.
    pub(super) fn int(&self, name: &'static str, default: i64) -> Result<i64, Refusal> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(held) => Err(Refusal::attribute(name, held, "an integer")),
        }
    }

    pub(super) fn float(&self, name: &'static str, default: f32) -> Result<f32, Refusal> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) if value.is_finite() => Ok(*value),
            Some(held) => Err(Refusal::attribute(name, held, "a finite number")),
        }
    }

    pub(super) fn ints(&self, name: &'static str) -> Result<Option<&[i64]>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values)),
            Some(held) => Err(Refusal::attribute(name, held, "a list of integers")),
        }
    }

    pub(super) fn floats(&self, name: &'static str) -> Result<Option<&[f32]>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Floats(values)) => Ok(Some(values)),
            Some(held) => Err(Refusal::attribute(name, held, "a list of numbers")),
        }
    }

    pub(super) fn text<'a>(
        &'a self,
        name: &'static str,
        default: &'a str,
    ) -> Result<&'a str, Refusal> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Text(value)) => Ok(value),
            Some(held) => Err(Refusal::attribute(name, held, "a text")),
        }
    }

    pub(super) fn tensor(&self, name: &'static str) -> Result<Option<&Tensor>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Tensor(value)) => Ok(Some(value)),
            Some(held) => Err(Refusal::attribute(name, held, "a tensor")),
        }
    }
}

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) file: String,
    pub(super) opset: i64,
    pub(super) nodes: Vec<Node>,
    pub(super) constants: HashMap<String, Tensor>,
    pub(super) inputs: Vec<Declared>,
    pub(super) outputs: Vec<String>,
}

impl Graph {
    /// Keeps the nodes that the outputs need, each after those that it needs; gives the one input.
    pub(super) fn order(&mut self) -> Result<Declared, ModelError> {
        let writers = self.writers()?;
        let (kept, input) = self.reach(&writers)?;
        let mut nodes: Vec<Option<Node>> =
            std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        self.nodes = kept.into_iter().filter_map(|index| nodes.get_mut(index)?.take()).collect();
        Ok(input)
    }

    /// Which node writes which name; every name has one definition.
    fn writers(&self) -> Result<HashMap<String, usize>, ModelError> {
        let mut writers = HashMap::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                let again = writers.insert(output.clone(), index).is_some();
                if again || self.constants.contains_key(output) {
                    let value = output.clone();
                    return Err(ModelError::Defined { file: self.file.clone(), value });
                }
            }
        }
        Ok(writers)
    }

    /// Walks back from the outputs. Gives the needed nodes in computing order, and the one input
    /// that they read. Iterative: a file may chain as many nodes as the limit allows.
    fn reach(
        &mut self,
        writers: &HashMap<String, usize>,
    ) -> Result<(Vec<usize>, Declared), ModelError> {
        let file = || self.file.clone();
        let output =
            |output: &str, why| ModelError::Output { file: file(), output: output.to_owned(), why };
        if self.outputs.is_empty() {
            return Err(output("", OutputFlaw::None));
        }
        let declared: HashSet<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        let mut read: Vec<&str> = Vec::new();
        let mut marks = vec![Mark::Untouched; self.nodes.len()];
        let mut order = Vec::with_capacity(self.nodes.len());
        for name in &self.outputs {
            let Some(&root) = writers.get(name) else {
                let why = if declared.contains(name.as_str()) {
                    OutputFlaw::Untouched
                } else if self.constants.contains_key(name) {
                    OutputFlaw::Constant
                } else {
                    OutputFlaw::Undefined
                };
                return Err(output(name, why));
            };
            let mut stack = vec![(root, 0)];
            while let Some((index, next)) = stack.pop() {
                let (Some(node), Some(mark)) = (self.nodes.get(index), marks.get_mut(index)) else {
                    continue;
                };
                if *mark == Mark::Done {
                    continue;
                }
                *mark = Mark::Open;
                let Some(value) = node.inputs.get(next) else {
                    *mark = Mark::Done;
                    order.push(index);
                    continue;
                };
                stack.push((index, usize::saturating_add(next, 1)));
                match writers.get(value) {
                    Some(&writer) if marks.get(writer) == Some(&Mark::Open) => {
                        return Err(ModelError::Cycle { file: file(), node: node.name.clone() });
                    }
                    Some(&writer) => stack.push((writer, 0)),
                    None if value.is_empty() || self.constants.contains_key(value) => {}
                    None if declared.contains(value.as_str()) => {
                        if !read.contains(&value.as_str()) {
                            read.push(value);
                        }
                    }
                    None => {
                        let (node, value) = (node.name.clone(), value.clone());
                        return Err(ModelError::Undefined { file: file(), node, value });
                    }
                }
            }
        }
        let [input] = read.as_slice() else {
            let held = read.iter().map(|&name| name.to_owned()).collect();
            return Err(ModelError::Inputs { file: file(), held });
        };
        let position = self.inputs.iter().position(|declared| declared.name == *input);
        let position = position.expect("`read` holds only names of declared inputs");
        Ok((order, self.inputs.swap_remove(position)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Untouched,
    /// On the way back from an output: what waits for itself is found here.
    Open,
    Done,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, inputs: &[&str], output: &str) -> Node {
        Node {
            name: name.to_owned(),
            operator: "Relu".to_owned(),
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
            outputs: vec![output.to_owned()],
            attributes: Vec::new(),
        }
    }

    fn graph(nodes: Vec<Node>) -> Graph {
        let declared = |name: &str| Declared { name: name.to_owned(), dims: Vec::new() };
        Graph {
            file: "net.onnx".to_owned(),
            opset: 13,
            nodes,
            constants: HashMap::new(),
            inputs: vec![declared("stale"), declared("x")],
            outputs: vec!["y".to_owned()],
        }
    }

    #[test]
    fn nodes_are_ordered_and_stale_inputs_ignored() {
        let mut unordered = graph(vec![
            node("last", &["mid"], "y"),
            node("dead", &["stale"], "unread"),
            node("first", &["x"], "mid"),
        ]);
        let input = unordered.order().expect("an order");
        assert_eq!(input.name, "x");
        let names: Vec<_> = unordered.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["first", "last"]);
    }

    #[test]
    fn cycles_holes_and_second_definitions_are_named() {
        let refused = |nodes| graph(nodes).order().expect_err("a flawed graph").to_string();
        let cycle = refused(vec![node("a", &["x", "b"], "y"), node("b", &["y"], "b")]);
        assert!(cycle.contains("cycle"), "{cycle}");
        let own = refused(vec![node("a", &["y"], "y")]);
        assert!(own.contains("node a waits for its own result"), "{own}");
        let hole = refused(vec![node("a", &["x", "nowhere"], "y")]);
        assert!(hole.contains("node a reads nowhere"), "{hole}");
        let twice = refused(vec![node("a", &["x"], "y"), node("b", &["x"], "y")]);
        assert!(twice.contains("y is defined twice"), "{twice}");
        let inputs = refused(vec![node("a", &["x", "stale"], "y")]);
        assert!(inputs.contains("2 inputs (x, stale)"), "{inputs}");
    }

    #[test]
    fn a_chain_of_the_greatest_length_does_not_recurse() {
        let mut nodes: Vec<_> = (1..10_000)
            .map(|index| node("n", &[&format!("v{}", index - 1)], &format!("v{index}")))
            .collect();
        nodes.push(node("first", &["x"], "v0"));
        nodes.push(node("last", &["v9999"], "y"));
        let mut long = graph(nodes);
        long.order().expect("an order");
        assert_eq!(long.nodes.len(), 10_001);
    }
}
