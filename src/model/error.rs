//! Why a model file is refused: which file, which node, which operator, and what to do.

use super::wire::WireError;
use crate::ops::check::ProgramError;

/// Why a model file does not become a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The graph needs more memory than the limit.
    #[error("{file}: the network's buffers hold {held} values per item; the limit is {most}")]
    Buffers {
        /// The model file.
        file: String,
        /// Values needed.
        held: usize,
        /// The limit.
        most: usize,
    },
    /// Nodes that wait for each other.
    #[error("{file}: node {node} waits for its own result: the graph has a cycle")]
    Cycle {
        /// The model file.
        file: String,
        /// A node of the cycle.
        node: String,
    },
    /// Two definitions of one name.
    #[error("{file}: {value} is defined twice")]
    Defined {
        /// The model file.
        file: String,
        /// The name.
        value: String,
    },
    /// A tensor whose values lie in another file.
    #[error(
        "{file}: the values of {tensor} lie in another file; export the model with its weights \
         inside"
    )]
    External {
        /// The model file.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// More than one input, or none.
    #[error(
        "{file}: the graph reads {} inputs ({}); a network here has exactly one",
        held.len(),
        held.join(", ")
    )]
    Inputs {
        /// The model file.
        file: String,
        /// Names of the inputs that nodes read.
        held: Vec<String>,
    },
    /// The input's dimensions are not four, or not known.
    #[error(
        "{file}: input {input} has dimensions {held}; needed: batch, channels, height, width, with \
         height and width either in the file or configured"
    )]
    InputShape {
        /// The model file.
        file: String,
        /// The input.
        input: String,
        /// The dimensions found.
        held: String,
    },
    /// The configured input size does not suit the network.
    #[error(
        "{file}: an input of {height_px} × {width_px} pixels does not suit this network: {why}"
    )]
    InputSize {
        /// The model file.
        file: String,
        /// Configured height.
        height_px: usize,
        /// Configured width.
        width_px: usize,
        /// The step at which it shows.
        why: String,
    },
    /// A graph of more nodes than the limit.
    #[error("{file}: {held} nodes; the limit is {most}")]
    Nodes {
        /// The model file.
        file: String,
        /// Nodes found.
        held: usize,
        /// The limit.
        most: usize,
    },
    /// An operator that is carried, in a form that is not.
    #[error("{file}: node {node} ({operator}): {refusal}")]
    Node {
        /// The model file.
        file: String,
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// What about it is not carried.
        refusal: Box<Refusal>,
    },
    /// An operator that is not carried.
    #[error("{file}: node {node} uses operator {operator}, which is not carried")]
    Operator {
        /// The model file.
        file: String,
        /// The node.
        node: String,
        /// The operator.
        operator: String,
    },
    /// An operator set outside of what was tested.
    #[error("{file}: operator set {held}; carried: {least} to {most}")]
    Opset {
        /// The model file.
        file: String,
        /// Version found; zero where the file states none.
        held: i64,
        /// Oldest carried.
        least: i64,
        /// Newest carried.
        most: i64,
    },
    /// An output that no backend buffer can hold as the file means it.
    #[error("{file}: output {output}: {why}")]
    Output {
        /// The model file.
        file: String,
        /// The output.
        output: String,
        /// What is wrong.
        why: OutputFlaw,
    },
    /// The parser refuses the bytes.
    #[error("{file} is not an ONNX model: {why}; fetch or export it again")]
    Parse {
        /// The model file.
        file: String,
        /// What the parser says.
        why: String,
    },
    /// The finished program contradicts itself: a mistake in this module.
    #[error("the lowered network is not sound: {0}; this is a bug, please report it")]
    Program(ProgramError),
    /// A constant that is not what its dimensions say.
    #[error("{file}: tensor {tensor}: {why}")]
    Tensor {
        /// The model file.
        file: String,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        why: TensorFlaw,
    },
    /// The file is larger than the limit.
    #[error("{file}: {held} bytes; the limit is {most}")]
    TooLarge {
        /// The model file.
        file: String,
        /// Bytes found.
        held: u64,
        /// The limit.
        most: u64,
    },
    /// A node reads what nobody writes.
    #[error("{file}: node {node} reads {value}, which nothing defines")]
    Undefined {
        /// The model file.
        file: String,
        /// The node.
        node: String,
        /// The name.
        value: String,
    },
    /// The bytes are not well-formed.
    #[error("{file} is not an ONNX model: {source}; fetch or export it again")]
    Wire {
        /// The model file.
        file: String,
        /// What is wrong, and where.
        source: WireError,
    },
}

/// What is wrong with a graph output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputFlaw {
    /// It does not depend on the input.
    #[error("it does not depend on the input")]
    Constant,
    /// A map flattened channel by channel.
    #[error("a map flattened channel by channel cannot be given back position by position")]
    Flattened,
    /// The graph has no outputs.
    #[error("the graph has no output")]
    None,
    /// Zeros around a map.
    #[error("zero padding that is not followed by a convolution")]
    Padded,
    /// Nothing defines it.
    #[error("nothing defines it")]
    Undefined,
    /// It is the input itself.
    #[error("it is the input itself; there is nothing to compute")]
    Untouched,
}

/// What is wrong with a constant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorFlaw {
    /// Values and dimensions disagree.
    #[error("dimensions {dims:?} need {needed} values of {size} bytes, the file has {held} bytes")]
    Count {
        /// Dimensions.
        dims: Vec<usize>,
        /// Values needed.
        needed: usize,
        /// Bytes of one.
        size: usize,
        /// Bytes found.
        held: usize,
    },
    /// A negative or overflowing dimension.
    #[error("dimensions {dims:?} are not those of a tensor")]
    Dims {
        /// Dimensions as in the file.
        dims: Vec<i64>,
    },
    /// A weight that is infinite or not a number.
    #[error("value {index} is not a finite number")]
    NotFinite {
        /// Position.
        index: usize,
    },
    /// A type that is not carried.
    #[error("values of type {held}; carried: FLOAT, INT8, UINT8, INT32, INT64")]
    Type {
        /// The type.
        held: String,
    },
    /// A number outside of its own type.
    #[error("value {index} does not fit its type")]
    Value {
        /// Position.
        index: usize,
    },
}

/// What about a node is not carried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An attribute has a value that is not carried.
    #[error("attribute {attribute} is {held}; carried: {carried}")]
    Attribute {
        /// Its name.
        attribute: &'static str,
        /// Its value.
        held: String,
        /// What is carried.
        carried: &'static str,
    },
    /// An input that must be known when the model is loaded depends on the network's input.
    #[error("input {index} ({what}) must be a constant")]
    Computed {
        /// Which input.
        index: usize,
        /// What it means.
        what: &'static str,
    },
    /// An input that must depend on the network's input is a constant.
    #[error("input {index} must depend on the network's input")]
    Fixed {
        /// Which input.
        index: usize,
    },
    /// An input is missing.
    #[error("input {index} ({what}) is missing")]
    Missing {
        /// Which input.
        index: usize,
        /// What it means.
        what: &'static str,
    },
    /// Zero padding that no following convolution takes up.
    #[error("zero padding that is not followed by a convolution")]
    Padding,
    /// An input is another node's second output; only first outputs are computed.
    #[error("input {index} is the second output of a node; only first outputs are computed")]
    Second {
        /// Which input.
        index: usize,
    },
    /// Dimensions do not fit each other.
    #[error("dimensions {held} do not fit: {needed}")]
    Shapes {
        /// The dimensions at hand.
        held: String,
        /// What would fit.
        needed: &'static str,
    },
    /// The result has more values than the limit.
    #[error("the result would have dimensions {held}, more than the limit of {most} values")]
    Size {
        /// Dimensions.
        held: String,
        /// The limit.
        most: usize,
    },
    /// The tensor has a type that is not carried here.
    #[error("input {index} has values of type {held}; carried: {carried}")]
    Type {
        /// Which input.
        index: usize,
        /// Its type.
        held: &'static str,
        /// What is carried.
        carried: &'static str,
    },
}

impl Refusal {
    pub(super) fn attribute(
        attribute: &'static str,
        held: impl std::fmt::Debug,
        carried: &'static str,
    ) -> Self {
        Self::Attribute { attribute, held: format!("{held:?}"), carried }
    }

    pub(super) fn shapes(held: impl std::fmt::Debug, needed: &'static str) -> Self {
        Self::Shapes { held: format!("{held:?}"), needed }
    }
}
