//! Model files for tests, through the parser crate's own writer.

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

use crate::{
    model::{ModelError, load},
    ops::program::{ChannelOrder, Program},
};

/// A model under construction; the bytes come from the parser crate's own writer.
pub(super) struct Build {
    pub(super) graph: GraphProto,
    pub(super) opset: i64,
}

pub(super) fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| match size {
        -1 => Dimension { dim_value: None, dim_param: Some("N".to_owned()) },
        size => Dimension { dim_value: Some(size), dim_param: None },
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor), ..TypeProto::default() }),
    }
}

pub(super) fn tensor(name: &str, dims: &[i64], kind: DataType) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(kind),
        ..TensorProto::default()
    }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        ints: values.to_vec(),
        r#type: Some(AttributeType::INTS),
        ..AttributeProto::default()
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(AttributeType::INT),
        ..AttributeProto::default()
    }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        s: Some(value.to_owned()),
        r#type: Some(AttributeType::STRING),
        ..AttributeProto::default()
    }
}

impl Build {
    /// A graph with input `x` of `dims` and output `y`.
    pub(super) fn new(dims: &[i64]) -> Self {
        let graph = GraphProto {
            input: vec![value("x", dims)],
            output: vec![value("y", &[-1])],
            ..GraphProto::default()
        };
        Self { graph, opset: 13 }
    }

    pub(super) fn opset(mut self, version: i64) -> Self {
        self.opset = version;
        self
    }

    pub(super) fn floats(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let float_data = values.to_vec();
        let proto = tensor(name, dims, DataType::FLOAT);
        self.graph.initializer.push(TensorProto { float_data, ..proto });
        self
    }

    pub(super) fn longs(mut self, name: &str, values: &[i64]) -> Self {
        let dims = [i64::try_from(values.len()).expect("few")];
        let proto = tensor(name, &dims, DataType::INT64);
        self.graph.initializer.push(TensorProto { int64_data: values.to_vec(), ..proto });
        self
    }

    pub(super) fn bytes_i8(mut self, name: &str, dims: &[i64], values: &[i8]) -> Self {
        let raw = values.iter().map(|value| value.to_le_bytes()[0]).collect::<Vec<u8>>();
        let proto = tensor(name, dims, DataType::INT8);
        self.graph.initializer.push(TensorProto { raw_data: Some(raw.into()), ..proto });
        self
    }

    pub(super) fn node(mut self, operator: &str, inputs: &[&str], output: &str) -> Self {
        self.graph.node.push(NodeProto {
            name: Some(format!("{operator}_{output}")),
            op_type: Some(operator.to_owned()),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        });
        self
    }

    /// Adds an attribute to the last node.
    pub(super) fn with(mut self, attribute: AttributeProto) -> Self {
        self.graph.node.last_mut().expect("a node").attribute.push(attribute);
        self
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        let opset = OperatorSetIdProto { domain: None, version: Some(self.opset) };
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(self.graph),
            opset_import: vec![opset],
            ..ModelProto::default()
        };
        model.write_buf().expect("written to memory")
    }

    pub(super) fn load(self) -> Result<Program, ModelError> {
        load(&self.bytes(), "tiny.onnx", ChannelOrder::Rgb, None)
    }

    pub(super) fn program(self) -> Program {
        self.load().expect("a program")
    }

    pub(super) fn refused(self) -> String {
        self.load().expect_err("a refusal").to_string()
    }
}
