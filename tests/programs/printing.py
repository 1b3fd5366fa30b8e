import torch

torch.manual_seed(0)
print(torch.randn(3, 4, 5))
print(torch.randn(1001))
print(torch.randn(10, 200))
print(torch.arange(1200).reshape(30, 40))
print(torch.zeros(2, 1, 3, 1))
print(torch.randn(2, 3) * 1e5)
print(torch.randn(4) * 1e-6)
print(torch.tensor([1e-3, 1e3]))
print(torch.tensor([1.0, 1e9]))
print(torch.tensor([1e38, 1]))
print(torch.tensor([0.1, float("inf"), -float("inf"), float("nan")]))
print(torch.tensor(float("nan")))
print(torch.tensor([float("nan")] * 3))
print(torch.tensor(1e-10))
print(torch.tensor(123456789.0))
print(torch.tensor(123456.789, dtype=torch.float64))
print(torch.tensor(12345678))
print(torch.tensor([True, False]))
print(torch.tensor(True))
print(torch.tensor([[1 + 2j, 3 - 4j], [0.5j, 1e5]]))
print(torch.tensor(1j))
print(torch.randn(3).half(), torch.randn(3).bfloat16(), torch.randn(3).double())
print(torch.empty(0), torch.empty(0, 3), torch.empty(2, 0, dtype=torch.int32))
print(torch.ones(2, requires_grad=True))
x = torch.ones(2, requires_grad=True)
print(
    x + 1,
    x.sum(),
    (x * 2).view(1, 2),
    x[0],
    x.exp()[None],
    torch.cat([x, x]),
    torch.stack([x, x]),
    x @ x,
    x.clone(),
    x.detach(),
    x.relu(),
    x.mean(),
    x.unsqueeze(0),
    x.expand(2, 2),
    x.t(),
    (x - 1) / 2,
    -x,
    x**2,
    x.max(),
    x.std(),
    torch.nn.functional.softmax(x, 0),
)
print(torch.nn.Parameter(torch.ones(2, 2)))
print(torch.nn.Parameter(torch.randn(2), requires_grad=False))
print(
    [torch.tensor(1), torch.tensor([1.0])],
    (torch.tensor(1.5),),
    {"a": torch.tensor([1, 2])},
    {"b": torch.nn.Parameter(torch.ones(1))},
)
print(
    f"{torch.tensor(3.14159):.2f} {torch.tensor(3)} {torch.tensor(3.14159)} {torch.tensor([1.0])} {torch.tensor(7):05d} {torch.tensor(2.5)!r} {torch.tensor(0.5):.1%} {torch.tensor(3.0):>10}|"
)
try:
    print(f"{torch.tensor([1.0, 2]):.2f}")
except Exception as e:
    print(type(e).__name__, e)
print(
    "%s %d %f %.3f" % (torch.tensor([1]), torch.tensor(3), torch.tensor(2.5), torch.tensor(1.23456)),
    str(torch.tensor([1.0])) + "!",
    repr(torch.tensor([0.5])),
)
torch.set_printoptions(precision=2, sci_mode=False)
print(torch.randn(3) * 1000, torch.tensor([1e-5, 1.0]))
torch.set_printoptions(threshold=5, edgeitems=1)
print(torch.arange(20).reshape(4, 5))
torch.set_printoptions(linewidth=40, threshold=1000)
print(torch.randn(3, 8))
torch.set_printoptions(profile="short")
print(torch.randn(4))
torch.set_printoptions(profile="full")
print(torch.arange(30))
torch.set_printoptions(profile="default")
torch.set_printoptions(sci_mode=True)
print(torch.tensor([1.0, 2.0]))
torch.set_printoptions(sci_mode=None)
print(
    torch.Size([2, 3]),
    torch.Size([]),
    repr(torch.Size((1,))),
    torch.float32,
    torch.int64,
    torch.bool,
    torch.device("cpu"),
    repr(torch.device("cuda", 1)),
    torch.device("cuda:0"),
    torch.strided,
    torch.contiguous_format,
    torch.channels_last,
    torch.preserve_format,
)
print(torch.randn(2, 3).max(1))
print(torch.randn(3).sort())
print(torch.randn(2, 2).min(0))
print(torch.tensor([1, 1, 2]).mode())
print(torch.randn(3).median(0))
print(torch.randn(5).topk(2))
print(torch.linalg.qr(torch.eye(2)))
print(torch.linalg.eigh(torch.eye(2)))
print(torch.linalg.svd(torch.eye(2)))
print(torch.linalg.slogdet(torch.eye(2)))
print(torch.randn(4).aminmax())
print(torch.ones(3).cummax(0))
print(torch.tensor([2.0, 1.0]).kthvalue(1))
print(torch.frexp(torch.tensor([3.0])))
print(torch.unique(torch.tensor([1, 1]), return_inverse=True))
print(torch.std_mean(torch.arange(3.0)), torch.var_mean(torch.arange(3.0)))
print(torch.finfo(torch.float32))
print(torch.iinfo(torch.int8))
print(torch.finfo(torch.float16).max, torch.finfo(torch.bfloat16).eps, torch.iinfo(torch.int64).max)
print(
    torch.Generator().initial_seed(),
    type(torch.Generator()),
    torch.Generator().device,
    torch.get_rng_state().shape,
    torch.initial_seed(),
)
print(
    type(torch.ones(1)),
    type(torch.nn.Parameter(torch.ones(1))),
    type(torch.ones(1).long().type()),
    torch.ones(1).__class__.__name__,
    torch.Tensor,
    torch.nn.Linear,
    torch.nn.Module,
    torch.nn.functional.relu.__name__,
    torch.float32.__class__,
    isinstance(torch.ones(1), torch.FloatTensor),
    isinstance(torch.ones(1), torch.Tensor),
    type(torch.float),
    type(torch.Size([1])),
    type(torch.device("cpu")),
)
print(torch.tensor([[0.00001, 1000.0], [3, 4]]))
print(torch.tensor([0.1234567, 12.5, 100000.0]))
print(torch.tensor([99999.0, 0.5]))
print(torch.tensor([-1.5, 2]))
print(torch.tensor([1.0, 2, 3]) * 1e8)
print(torch.randn(3, 3, dtype=torch.cfloat))
print(torch.randn(2, 2, 2, 2))
print(torch.tensor([-0.0, 0.0]))
print(torch.tensor([[]]))
print(torch.tensor([[], []]).shape)
print(torch.tensor([10000.0, 1.0]))
print(torch.tensor([12345.678]))
print(torch.randint(-100, 100, (3, 3)))
print(torch.randint(0, 2, (2, 2)).bool())
print(torch.tensor([255], dtype=torch.uint8))
print(torch.zeros(3, dtype=torch.int16))
print(torch.eye(3))
print(torch.full((2,), float("-inf")))
print(torch.arange(0, 1, 0.1))
print(torch.linspace(0, 1e-3, 3))
print(torch.logspace(0, 3, 4))
print(torch.randn(7, 30))
