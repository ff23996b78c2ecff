//! From the bytes of a file to a [`Graph`]: parsed, typed, and free of protobuf.
//!
//! Invariant: nothing is allocated on the word of a dimension; a tensor is as large as its bytes.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::collections::HashMap;

use rten_onnx::onnx::{
    AttributeProto, DataLocation, DataType, GraphProto, ModelProto, NodeProto, TensorProto,
    ValueInfoProto,
};

use super::{
    error::{ModelError, TensorFlaw},
    graph::{Attribute, Declared, Graph, Node},
    tensor::{Tensor, Values, product},
    wire,
};
use crate::limits;

/// Oldest and newest operator set.
const OPSET_MIN: i64 = 9;
const OPSET_MAX: i64 = 21;

/// Reads the file. Nodes stand as in the file; nothing is computed yet.
pub(super) fn parse(bytes: &[u8], file: &str) -> Result<Graph, ModelError> {
    let file = file.to_owned();
    let held = bytes.len() as u64;
    if held > limits::MODEL_BYTES_MAX {
        return Err(ModelError::TooLarge { file, held, most: limits::MODEL_BYTES_MAX });
    }
    if let Err(source) = wire::check(bytes) {
        return Err(ModelError::Wire { file, source });
    }
    let model = match ModelProto::parse_buf(bytes) {
        Ok(model) => model,
        Err(error) => return Err(ModelError::Parse { file, why: error.to_string() }),
    };
    let versions = model.opset_import.iter();
    let opset = versions
        .filter(|set| matches!(set.domain.as_deref(), None | Some("" | "ai.onnx")))
        .find_map(|set| set.version)
        .unwrap_or(0);
    if !(OPSET_MIN..=OPSET_MAX).contains(&opset) {
        return Err(ModelError::Opset { file, held: opset, least: OPSET_MIN, most: OPSET_MAX });
    }
    let Some(graph) = model.graph else {
        return Err(ModelError::Parse { file, why: "it holds no graph".to_owned() });
    };
    from_proto(graph, opset, file)
}

fn from_proto(proto: GraphProto, opset: i64, file: String) -> Result<Graph, ModelError> {
    if proto.node.len() > limits::MODEL_NODES_MAX {
        let held = proto.node.len();
        return Err(ModelError::Nodes { file, held, most: limits::MODEL_NODES_MAX });
    }
    let mut constants = HashMap::with_capacity(proto.initializer.len());
    for tensor in proto.initializer {
        let name = tensor.name.clone().unwrap_or_default();
        let tensor = from_tensor(tensor, &name, &file)?;
        if constants.insert(name.clone(), tensor).is_some() {
            return Err(ModelError::Defined { file, value: name });
        }
    }
    let mut nodes = Vec::with_capacity(proto.node.len());
    for (index, node) in proto.node.into_iter().enumerate() {
        nodes.push(from_node(node, index, &file)?);
    }
    let inputs = proto.input.into_iter().map(declared).collect();
    let outputs = proto.output.into_iter().filter_map(|output| output.name).collect();
    Ok(Graph { file, opset, nodes, constants, inputs, outputs })
}

fn declared(value: ValueInfoProto) -> Declared {
    let shape = value.r#type.and_then(|kind| kind.tensor_type).and_then(|tensor| tensor.shape);
    let dims = shape.map(|shape| {
        let dims = shape.dim.into_iter();
        dims.map(|dim| dim.dim_value.and_then(|size| usize::try_from(size).ok())).collect()
    });
    Declared { name: value.name.unwrap_or_default(), dims: dims.unwrap_or_default() }
}

fn from_node(proto: NodeProto, index: usize, file: &str) -> Result<Node, ModelError> {
    let first_output = proto.output.first().cloned().unwrap_or_default();
    let name = match proto.name {
        Some(name) if !name.is_empty() => name,
        _ => format!("#{index} (writing {first_output})"),
    };
    let operator = proto.op_type.unwrap_or_default();
    let operator = match proto.domain.as_deref() {
        None | Some("" | "ai.onnx") => operator,
        Some(domain) => format!("{domain}.{operator}"),
    };
    let mut attributes = Vec::with_capacity(proto.attribute.len());
    for attribute in proto.attribute {
        let key = attribute.name.clone().unwrap_or_default();
        attributes.push((key, from_attribute(attribute, &name, file)?));
    }
    Ok(Node { name, operator, inputs: proto.input, outputs: proto.output, attributes })
}

/// The first field that is set decides: exporters of old files leave the type tag out.
fn from_attribute(proto: AttributeProto, node: &str, file: &str) -> Result<Attribute, ModelError> {
    Ok(if let Some(tensor) = proto.t {
        Attribute::Tensor(from_tensor(tensor, node, file)?)
    } else if let Some(value) = proto.f {
        Attribute::Float(value)
    } else if let Some(value) = proto.i {
        Attribute::Int(value)
    } else if let Some(value) = proto.s {
        Attribute::Text(value)
    } else if !proto.floats.is_empty() {
        Attribute::Floats(proto.floats)
    } else if proto.g.is_some() || !proto.strings.is_empty() {
        Attribute::Other
    } else {
        Attribute::Ints(proto.ints)
    })
}

fn from_tensor(proto: TensorProto, name: &str, file: &str) -> Result<Tensor, ModelError> {
    let refused = |why| ModelError::Tensor { file: file.to_owned(), tensor: name.to_owned(), why };
    if proto.data_location == Some(DataLocation::EXTERNAL) || !proto.external_data.is_empty() {
        return Err(ModelError::External { file: file.to_owned(), tensor: name.to_owned() });
    }
    let sizes = proto.dims.iter().map(|&dim| usize::try_from(dim).ok());
    let dims = sizes.collect::<Option<Vec<_>>>().filter(|dims| product(dims).is_some());
    let Some(dims) = dims else {
        return Err(refused(TensorFlaw::Dims { dims: proto.dims }));
    };
    let raw = proto.raw_data.map(std::cell::RefCell::into_inner);
    let kind = proto.data_type.unwrap_or(DataType(0));
    let narrow = |index: usize| TensorFlaw::Value { index };
    let values = match (kind, raw) {
        (DataType::FLOAT, Some(raw)) => little_endian(&raw, f32::from_le_bytes).map(Values::F32),
        (DataType::INT32, Some(raw)) => little_endian(&raw, i32::from_le_bytes).map(Values::I32),
        (DataType::INT64, Some(raw)) => little_endian(&raw, i64::from_le_bytes).map(Values::I64),
        // Collected in place: the same bytes, seen with a sign.
        (DataType::INT8, Some(raw)) => {
            Ok(Values::I8(raw.into_iter().map(|byte| i8::from_le_bytes([byte])).collect()))
        }
        (DataType::UINT8, Some(raw)) => Ok(Values::U8(raw)),
        (DataType::FLOAT, None) => Ok(Values::F32(proto.float_data)),
        (DataType::INT32, None) => Ok(Values::I32(proto.int32_data)),
        (DataType::INT64, None) => Ok(Values::I64(proto.int64_data)),
        (DataType::INT8, None) => each(&proto.int32_data).map(Values::I8).map_err(narrow),
        (DataType::UINT8, None) => each(&proto.int32_data).map(Values::U8).map_err(narrow),
        (held, _) => Err(TensorFlaw::Type { held: held.to_string() }),
    }
    .map_err(&refused)?;
    if let Values::F32(values) = &values
        && let Some(index) = first_not_finite(values)
    {
        return Err(refused(TensorFlaw::NotFinite { index }));
    }
    let needed = product(&dims).unwrap_or(usize::MAX);
    let size = match &values {
        Values::F32(_) | Values::I32(_) => 4,
        Values::I64(_) => 8,
        Values::I8(_) | Values::U8(_) => 1,
    };
    let held = values.len().saturating_mul(size);
    let flaw = TensorFlaw::Count { dims: dims.clone(), needed, size, held };
    Tensor::new(dims, values).ok_or_else(|| refused(flaw))
}

/// Position of the first infinite or undefined value. Whole blocks are judged first, because such a
/// loop vectorises and a search does not, and hardly ever is there anything to find.
fn first_not_finite(values: &[f32]) -> Option<usize> {
    let suspicious =
        |block: &[f32]| block.iter().fold(false, |any, value| any | !value.is_finite());
    let block = values.chunks(4096).position(suspicious)?;
    let start = block.saturating_mul(4096);
    let within = values.get(start..)?.iter().position(|value| !value.is_finite())?;
    Some(start.saturating_add(within))
}

/// Whole values of `N` bytes; leftover bytes are the caller's mismatch to report.
fn little_endian<T, const N: usize>(
    raw: &[u8],
    from: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, TensorFlaw> {
    let (whole, rest) = raw.as_chunks::<N>();
    if rest.is_empty() {
        Ok(whole.iter().map(|&bytes| from(bytes)).collect())
    } else {
        let needed = whole.len().saturating_add(1);
        Err(TensorFlaw::Count { dims: Vec::new(), needed, size: N, held: raw.len() })
    }
}

/// Narrows every value; the error is the position of the first that does not fit.
fn each<T: TryFrom<i32>>(values: &[i32]) -> Result<Vec<T>, usize> {
    let narrowed = values.iter().enumerate();
    narrowed.map(|(index, &value)| T::try_from(value).map_err(|_| index)).collect()
}
