"""The operations that TensorFlow.js supports, from the op lists of @tensorflow/tfjs-converter 4.22."""
from __future__ import annotations

from collections.abc import Iterable

OPERATIONS = frozenset("""
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool AvgPool3D BatchMatMul
    BatchMatMulV2 BatchToSpaceND BiasAdd Bincount BitwiseAnd BroadcastArgs BroadcastTo Cast Ceil ClipByValue Complex
    ComplexAbs Concat ConcatV2 Const Conv1D Conv2D Conv2DBackpropInput Conv3D Cos Cosh CropAndResize Cumprod Cumsum
    DenseBincount DepthToSpace DepthwiseConv2d DepthwiseConv2dNative Dilation2D Div DivNoNan Einsum Elu
    EmptyTensorList EnsureShape Enter Equal Erf EuclideanNorm Exit Exp ExpandDims Expm1 FFT FakeQuantWithMinMaxVars
    Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 FusedDepthwiseConv2dNative Gather
    GatherNd GatherV2 Greater GreaterEqual HashTable HashTableV2 IFFT IRFFT Identity IdentityN If Imag
    ImageProjectiveTransformV3 InitializeTable InitializeTableV2 IsFinite IsInf IsNan LRN LeakyRelu Less LessEqual
    LinSpace ListDiff Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr LookupTableFind LookupTableFindV2
    LookupTableImport LookupTableImportV2 LookupTableSize LookupTableSizeV2 LoopCond LowerBound MatMul MatrixBandPart
    Max MaxPool MaxPool3D MaxPoolWithArgmax Maximum Mean Merge Min Minimum MirrorPad Mod Mul Multinomial Neg
    NextIteration NoOp NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NotEqual
    OneHot Ones OnesLike Pack Pad PadV2 Placeholder PlaceholderWithDefault Pow Prelu Print Prod RFFT
    RandomStandardNormal RandomUniform RandomUniformInt Range Rank Real RealDiv Reciprocal Relu Relu6 Reshape
    ResizeBilinear ResizeNearestNeighbor Reverse ReverseV2 Round Rsqrt ScatterNd Select SelectV2 Selu Shape ShapeN
    Sigmoid Sign Sin Sinh Size Slice Snapshot Softmax Softplus SpaceToBatchND SparseFillEmptyRows SparseReshape
    SparseSegmentMean SparseSegmentSum SparseToDense Split SplitV Sqrt Square SquaredDifference Squeeze StatelessIf
    StatelessWhile StaticRegexReplace StopGradient StridedSlice StringNGrams StringSplit StringToHashBucketFast Sub
    Sum Switch Tan Tanh TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayReadV3
    TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3 TensorListConcat
    TensorListConcatV2 TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack
    TensorListPushBack TensorListReserve TensorListResize TensorListScatter TensorListScatterV2 TensorListSetItem
    TensorListSplit TensorListStack TensorScatterUpdate Tile TopKV2 Transpose TruncatedNormal Unique UniqueV2 Unpack
    UpperBound Where While Zeros ZerosLike
""".split())

# The operations that later versions of @tensorflow/tfjs-converter added to those of BASE_VERSION, by version.
BASE_VERSION = "1.7"
ADDED_LATER = {
    "3.0": """
        Bincount BroadcastTo Cumsum DenseBincount Dilation2D EmptyTensorList HashTable HashTableV2 If
        LookupTableFind LookupTableFindV2 LookupTableImport LookupTableImportV2 MirrorPad NonMaxSuppressionV4
        StatelessIf StatelessWhile TensorListConcat TensorListFromTensor TensorListGather TensorListGetItem
        TensorListPopBack TensorListPushBack TensorListReserve TensorListScatter TensorListScatterV2
        TensorListSetItem TensorListSplit TensorListStack Unique UniqueV2 While
        """,
    "4.0": """
        BroadcastArgs Cumprod Einsum EuclideanNorm ImageProjectiveTransformV3 IsNan LookupTableSize
        LookupTableSizeV2 LowerBound RandomStandardNormal SparseFillEmptyRows SparseReshape SparseSegmentMean
        SparseSegmentSum StringNGrams StringSplit StringToHashBucketFast TensorListConcatV2 TensorListLength
        TensorListResize UpperBound
        """,
    "4.22": """
        BitwiseAnd EnsureShape InitializeTable InitializeTableV2 IsFinite IsInf MatrixBandPart RandomUniformInt
        StaticRegexReplace TensorScatterUpdate
        """,
}


def oldest_version(operations: Iterable[str]) -> str:
    """Return the oldest version of TensorFlow.js, 1.7 or later, that supports all the given operations.

    Each of them must be in OPERATIONS.
    """
    names = set(operations)
    return next((version for version, added in reversed(ADDED_LATER.items()) if names & set(added.split())),
                BASE_VERSION)
