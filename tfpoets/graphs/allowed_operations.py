"""The operations that graphs from other people may contain.

They compute their outputs from their inputs and from variables of the model. None of them accesses files, the network
or Python, prints to a file, or repeats a part of the graph.
"""
from __future__ import annotations

# Operations are those of TensorFlow's op registry (tensorflow.org/api_docs/python/tf/raw_ops).
ALLOWED_OPERATIONS = frozenset("""
Abs Acos Acosh Add AddN AddV2 Asin Asinh Atan Atan2 Atanh Ceil ClipByValue Cos Cosh Cumprod Cumsum Div DivNoNan Erf
Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod Inv Lgamma Log Log1p Maximum Minimum Mod Mul MulNoNan Neg Pow RealDiv
Reciprocal Rint Round Rsqrt Sigmoid Sign Sin Sinh Sqrt Square SquaredDifference Sub Tan Tanh TruncateDiv TruncateMod
Xdivy Xlog1py Xlogy
All Any ApproximateEqual Equal Greater GreaterEqual IsFinite IsInf IsNan Less LessEqual LogicalAnd LogicalNot LogicalOr
NotEqual Select SelectV2
ArgMax ArgMin EuclideanNorm Max Mean Min Prod Sum TopK TopKV2
BatchMatMul BatchMatMulV2 BatchMatMulV3 Einsum MatMul
AvgPool BatchNormWithGlobalNormalization BiasAdd BiasAddV1 Conv2D Conv2DBackpropInput DepthwiseConv2dNative Dilation2D
Elu FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D FusedResizeAndPadConv2D L2Loss LRN LeakyRelu
LogSoftmax MaxPool MaxPoolV2 Relu Relu6 Selu Softmax Softplus Softsign _FusedBatchNormEx _FusedConv2D
_FusedDepthwiseConv2dNative _FusedMatMul
AdjustContrastv2 AdjustHue AdjustSaturation CropAndResize ExtractImagePatches HSVToRGB ImageProjectiveTransformV2
ImageProjectiveTransformV3 RGBToHSV ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor
ScaleAndTranslate
BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastTo Cast Concat ConcatV2 Const DepthToSpace ExpandDims Fill
Gather GatherNd GatherV2 Identity IdentityN InvertPermutation LinSpace MatrixBandPart MirrorPad OneHot OnesLike Pack
Pad PadV2 Range Rank Reshape Reverse ReverseV2 Roll ScatterNd Shape ShapeN Size Slice Snapshot SpaceToBatch
SpaceToBatchND SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice TensorScatterAdd TensorScatterUpdate Tile
Transpose Unpack Where ZerosLike
Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel QuantizeAndDequantizeV2
QuantizeAndDequantizeV3 QuantizeDownAndShrinkRange QuantizeV2 QuantizedAdd QuantizedAvgPool QuantizedBiasAdd
QuantizedConcat QuantizedConv2D QuantizedMatMul QuantizedMaxPool QuantizedMul QuantizedRelu QuantizedRelu6
QuantizedReshape RequantizationRange Requantize
RandomStandardNormal RandomUniform RandomUniformInt StatelessRandomGetKeyCounter StatelessRandomNormalV2
StatelessRandomUniformV2 TruncatedNormal
BroadcastGradientArgs Conv2DBackpropFilter DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput
EluGrad FusedBatchNormGradV3 InvGrad ReciprocalGrad Relu6Grad ReluGrad RsqrtGrad SeluGrad SigmoidGrad SoftplusGrad
SqrtGrad TanhGrad
Assert CheckNumerics EnsureShape If Merge NoOp PartitionedCall Placeholder PlaceholderV2 PlaceholderWithDefault
PreventGradient StatefulPartitionedCall StatelessIf Switch
ReadVariableOp VarHandleOp VarIsInitializedOp Variable VariableV2
""".split())
# Also allowed in a function that a module calls in training: they change variables of the model.
TRAINING_OPERATIONS = ALLOWED_OPERATIONS | frozenset(
    ("AssignAddVariableOp", "AssignSubVariableOp", "AssignVariableOp"))
# Also allowed in what runs while a SavedModel is loaded: they set its variables to the values in its files.
LOADING_OPERATIONS = ALLOWED_OPERATIONS | frozenset(
    ("Assign", "AssignVariableOp", "DisableCopyOnRead", "Restore", "RestoreSlice", "RestoreV2"))
# Also allowed in a graph that is only rewritten: TensorFlow for Poets left them in the graph, and they are never run.
DECODERS = frozenset("DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng".split())
# What the operations do that are most likely to be found in a graph that is refused.
EFFECTS = {
    **dict.fromkeys(("WriteFile", "SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints", "Print", "PrintV2",
                     "WriteSummary", "CreateSummaryFileWriter", "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3"),
                    "can write files"),
    **dict.fromkeys(("ReadFile", "MatchingFiles", "WholeFileReader", "WholeFileReaderV2", "TextLineReader",
                     "TextLineReaderV2", "TFRecordReader", "TFRecordReaderV2", "FixedLengthRecordReader",
                     "FixedLengthRecordReaderV2", "IdentityReader", "LMDBReader", "RestoreV2", "Restore",
                     "ImmutableConst", "TextLineDataset", "TFRecordDataset", "FixedLengthRecordDataset",
                     "InitializeTableFromTextFile", "InitializeTableFromTextFileV2"), "can read files"),
    **dict.fromkeys(("PyFunc", "PyFuncStateless", "EagerPyFunc"), "runs Python code"),
    **dict.fromkeys(("While", "StatelessWhile", "Enter", "RefEnter", "LoopCond", "NextIteration", "RefNextIteration",
                     "For", "Exit", "RefExit"), "can repeat for ever"),
}
