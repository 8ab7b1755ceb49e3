"""Determine the oldest TensorFlow that supports a graph, and what OpenCV does not support in it."""
from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

# The operations that networks use, and the attributes added to them later ("Operation.attribute"), by the first
# version of TensorFlow that has them, out of 1.13, 1.14, 1.15, 2.1, 2.3, 2.4 and 2.8. "" stands for attributes that
# none of these versions has. Determined with TF_GetAllOpList in the wheels of these versions.
SINCE = {
    "1.13": """
        Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool BatchMatMul
        BatchNormWithGlobalNormalization BatchToSpaceND BiasAdd BroadcastArgs BroadcastTo Cast Ceil ClipByValue
        Concat ConcatV2 Const Conv2D Conv2DBackpropInput Cos Cosh CropAndResize DecodeJpeg DepthToSpace
        DepthwiseConv2dNative Dequantize Div DivNoNan Elu EmptyTensorList EnsureShape Equal Erf Erfc Exp ExpandDims
        Expm1 ExtractImagePatches ExtractJpegShape FakeQuantWithMinMaxVars Fill Floor FloorDiv FloorMod
        FusedBatchNorm FusedBatchNormV2 Gather GatherNd GatherV2 Greater GreaterEqual Identity IdentityN If Inv
        IsFinite IsInf IsNan L2Loss LRN LeakyRelu Less LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot
        LogicalOr MatMul MatrixDiag Max MaxPool MaxPoolWithArgmax Maximum Mean Merge MergeV2Checkpoints Min Minimum
        MirrorPad Mod Mul Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 PartitionedCall Placeholder
        PlaceholderWithDefault Pow Prod RandomUniform Range Rank ReadVariableOp RealDiv Reciprocal Relu Relu6
        Reshape ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor RestoreV2 Reverse ReverseV2 Roll Round
        Rsqrt SaveV2 SegmentSum Select Selu Shape ShapeN ShardedFilename Sigmoid Sign Sin Sinh Size Slice Softmax
        Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
        StatefulPartitionedCall StatelessIf StatelessWhile StaticRegexFullMatch StaticRegexReplace StopGradient
        StridedSlice StringJoin Sub Substr Sum Switch Tan Tanh TensorListConcat TensorListFromTensor
        TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve
        TensorListScatter TensorListSetItem TensorListSplit TensorListStack Tile TopKV2 Transpose Unpack VarHandleOp
        VariableV2 While Xdivy ZerosLike
        """,
    "1.14": """
        BatchMatMulV2 EuclideanNorm FusedBatchNormV3 ScaleAndTranslate SelectV2 TensorListConcatV2 TensorListResize
        TensorListScatterV2 Conv2D.explicit_paddings Conv2DBackpropInput.explicit_paddings GatherV2.batch_dims
        MaxPoolWithArgmax.include_batch_in_index ResizeBicubic.half_pixel_centers ResizeBilinear.half_pixel_centers
        ResizeNearestNeighbor.half_pixel_centers TensorListConcat.element_shape While.parallel_iterations
        """,
    "1.15": """
        Einsum Equal.incompatible_shape_error NotEqual.incompatible_shape_error StatelessIf.output_shapes
        StatelessWhile.output_shapes StatelessWhile.parallel_iterations
        """,
    "2.1": """
        Dequantize.axis Dequantize.narrow_range
        """,
    "2.3": """
        DepthwiseConv2dNative.explicit_paddings Dequantize.dtype FusedBatchNorm.exponential_avg_factor
        FusedBatchNormV2.exponential_avg_factor FusedBatchNormV3.exponential_avg_factor VarHandleOp.allowed_devices
        """,
    "2.4": """
        StatelessCase MaxPool.explicit_paddings
        """,
    "": """
        BatchMatMul.grad_x BatchMatMul.grad_y BatchMatMulV2.grad_x BatchMatMulV2.grad_y GatherNd.bad_indices_policy
        MatMul.grad_a MatMul.grad_b MergeV2Checkpoints.allow_missing_files TensorListGetItem.Tshape
        TensorListSetItem.resize_if_index_out_of_bounds TopKV2.Tk TopKV2.index_type VarHandleOp.debug_name
        """,
}
_VERSION_INDEX = {name: index for index, names in enumerate(SINCE.values()) for name in names.split()}
# The operations that OpenCV's dnn module imports in any position and with default attributes omitted
# (modules/dnn/src/tensorflow/tf_importer.cpp of OpenCV 4 and 5).
OPENCV_OPERATIONS = frozenset("""
    Abs Add AddN AddV2 AvgPool BiasAdd ClipByValue Concat ConcatV2 Const Conv2D DepthwiseConv2dNative Elu Exp
    FusedBatchNorm FusedBatchNormV3 Identity MatMul MaxPool Mean Mul Pad Placeholder RealDiv Relu Relu6 Reshape
    ResizeBilinear ResizeNearestNeighbor Sigmoid Softmax Squeeze Sub Tanh
    """.split())


def graph_nodes(graph_def: Any) -> Iterable[Any]:
    """Return the nodes of a GraphDef and of its functions."""
    return chain(graph_def.node, *(function.node_def for function in graph_def.library.function))


def oldest_tensorflow(graph_def: Any) -> str:
    """Return the oldest version of TensorFlow, 1.13 or later, that has the operations and attributes of a graph.

    Args:
        graph_def: A GraphDef without attributes that have their default value.

    Returns:
        The version, such as "1.15"; "" if it is not known for an operation.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    oldest = 0
    for node in graph_nodes(graph_def):
        names = [node.op, *(f"{node.op}.{name}" for name in node.attr)]
        if node.op in functions:
            continue
        if node.op not in _VERSION_INDEX:
            return ""
        oldest = max(oldest, *(_VERSION_INDEX.get(name, 0) for name in names))
    return list(SINCE)[oldest]


def unsupported_by_opencv(graph_def: Any) -> list[str]:
    """Return what OpenCV's dnn module does not support in a frozen graph.

    Returns:
        The sorted names of operations, or only "more than one Placeholder".
    """
    if sum(node.op == "Placeholder" for node in graph_def.node) > 1:  # as in graphs of earlier versions of tfpoets
        return ["more than one Placeholder"]
    nodes = {node.name: node for node in graph_def.node}
    flattening = {name for node in graph_def.node if node.op == "Reshape" for name in _batch_size_nodes(nodes, node)}
    return sorted({node.op for node in graph_def.node if node.name not in flattening and (
        node.op not in OPENCV_OPERATIONS
        # OpenCV computes x - constant for both orders.
        or node.op == "Sub" and nodes[node.input[0].split(":")[0]].op == "Const")})


def _batch_size_nodes(nodes: dict[str, Any], reshape: Any) -> list[str]:
    """Return the nodes that compute the batch size for a Reshape, as in Keras's Flatten, which OpenCV recognizes."""
    found, name = [], reshape.input[1]
    for operation in ("Pack", "StridedSlice", "Shape"):
        node = nodes.get(name)
        if node is None or node.op != operation:
            return []
        found.append(name)
        name = node.input[0]
    return found
