import torch
import torch.nn as nn

torch.manual_seed(0)


def show(*fs):
    for f in fs:
        try:
            print(f())
        except Exception as e:
            print(type(e).__name__, ":", e)


x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)


def f1():
    y = x * 2
    y.sum().backward()
    y.sum().backward()


def f2():
    x[0] = 5


def f3():
    x.add_(1)


def f4():
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def f5():
    y = x * 2
    z = y * y
    y[0] = 1
    z.sum().backward()


def f6():
    y = x.detach()
    y += 1
    print(x)
    y -= 1
    return x


def f7():
    z = x * 1
    a, b, c = z.unbind()
    a.mul_(2)


def f8():
    return torch.autograd.grad(x.sum(), torch.ones(1, requires_grad=True))


def f9():
    return torch.autograd.grad(x.sum(), [x, torch.ones(1, requires_grad=True)], allow_unused=True)


def f10():
    with torch.no_grad():
        y = x * 2
    y.sum().backward()


def f11():
    y = x.clone()
    y[1] = 0
    y.mul_(x)
    y.sum().backward()
    g = x.grad.clone()
    x.grad = None
    return g


def f12():
    x.grad = torch.ones(2)


def f13():
    x.grad = None
    y = (x**2).sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    h = torch.stack([torch.autograd.grad(g[i], x, retain_graph=True)[0] for i in range(3)])
    return g, h


def f14():
    with torch.inference_mode():
        z = torch.ones(2)
    z.requires_grad_()


def f15():
    with torch.inference_mode():
        z = torch.ones(3)
    return (x * z).sum()


def f16():
    y = x * 2
    y.retain_grad()
    y.sum().backward()
    r = y.grad, y.is_leaf, y.requires_grad, y.grad_fn.name(), y.grad_fn.next_functions[0][0].name()
    x.grad = None
    return r


def f17():
    y = x * 2
    y.requires_grad = False


def f18():
    y = x * 2
    return y.detach_().requires_grad


def f19():
    y = x * 2
    return y.view(3)[0:2].detach_()


def f20():
    x.requires_grad_(False).numpy()[0] = 7
    r = x.clone()
    x[0] = 1
    x.requires_grad_(True)
    return r


def f21():
    return torch.autograd.functional.jacobian(lambda t: t**2, torch.ones(2)), torch.autograd.functional.hessian(
        lambda t: (t**3).sum(), torch.ones(2)
    )


def f22():
    a = torch.ones(2, 2, requires_grad=True)
    b = a.t()
    b *= 2


def f23():
    a = torch.ones(2, 2, requires_grad=True) * 1
    b = a.t()
    b *= 2
    a.sum().backward()
    return a, b


def f24():
    a = torch.zeros(3, 3).expand(3, 3)
    a = torch.zeros(3, 1).expand(3, 3)
    a += 1
    return a


def f25():
    w = torch.ones(3, requires_grad=True)
    y = w * x
    y.backward(torch.tensor([1.0, 0, 2]))
    r = w.grad, x.grad
    x.grad = None
    return r


def f26():
    x.data[0] = 9
    r = x.tolist()
    x.data[0] = 1
    return r, x._version


def f27():
    y = x.sum()
    y.backward()
    y.backward()
    r = x.grad
    x.grad = None
    return r


def f28():
    return (
        x.grad_fn,
        (x + x).grad_fn.next_functions[0][0].__class__.__name__,
        (x + x).grad_fn.next_functions[0][0].variable is x,
    )


def f29():
    y = x.abs().sqrt().log().sin().tanh().sigmoid()
    y.sum().backward()
    r = x.grad
    x.grad = None
    return r


def f30():
    y = torch.where(x > 1, x, torch.zeros_like(x) / 0.0).sum()
    y.backward()
    r = x.grad
    x.grad = None
    return r


def f31():
    return torch.autograd.gradcheck(lambda t: (t * t).sum(), torch.randn(3, dtype=torch.double, requires_grad=True))


show(
    f1,
    f2,
    f3,
    f4,
    f5,
    f6,
    f7,
    f8,
    f9,
    f10,
    f11,
    f12,
    f13,
    f14,
    f15,
    f16,
    f17,
    f18,
    f19,
    f20,
    f21,
    f22,
    f23,
    f24,
    f25,
    f26,
    f27,
    f28,
    f29,
    f30,
    f31,
)


class Sq(torch.autograd.Function):
    @staticmethod
    def forward(ctx, i, k):
        ctx.save_for_backward(i)
        ctx.k = k
        return i**2 * k

    @staticmethod
    def backward(ctx, g):
        (i,) = ctx.saved_tensors
        return 2 * i * g * ctx.k, None


y = Sq.apply(x, 3.0)
print(y, y.grad_fn.name())
y.sum().backward()
print(x.grad)
x.grad = None


class Bad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        return a * b

    @staticmethod
    def backward(ctx, g):
        return g


class Ste(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.mark_non_differentiable()
        return a.round()

    @staticmethod
    def backward(ctx, g):
        return (g.clamp(-1, 1),)


class Two(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.set_materialize_grads(False)
        return a * 2, a * 3

    @staticmethod
    def backward(ctx, g1, g2):
        print(g1, g2)
        return g1 * 2 if g1 is not None else None


class InPl(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.mark_dirty(a)
        return a.mul_(2)

    @staticmethod
    def backward(ctx, g):
        return g * 2


class NoB(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a * 2


class Shape(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a * 2

    @staticmethod
    def backward(ctx, g):
        return g[:2]


class New(torch.autograd.Function):
    @staticmethod
    def forward(a, b):
        return a * b

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        print(ctx.needs_input_grad)
        return g * b, g * a


show(
    lambda: Bad.apply(x, x).sum().backward(),
    lambda: Ste.apply(x * 1.3),
    lambda: Two.apply(x)[0].sum().backward(),
    lambda: InPl.apply(x),
    lambda: InPl.apply(x * 1),
    lambda: NoB.apply(x).sum().backward(),
    lambda: Shape.apply(x).sum().backward(),
    lambda: New.apply(x, torch.ones(3)).sum().backward(),
    lambda: Sq()(x),
    lambda: Sq.forward(None, x, 1),
    lambda: x.grad,
)
x.grad = None
h1 = x.register_hook(lambda g: print("hook", g))
h2 = x.register_hook(lambda g: g * 2)
(x * 3).sum().backward()
print(x.grad)
h1.remove()
h2.remove()
x.grad = None
with torch.autograd.set_detect_anomaly(False):
    pass


@torch.no_grad()
def ng(a):
    return a * 2


print(ng(x).requires_grad, torch.is_grad_enabled())
with torch.set_grad_enabled(False):
    print((x * 2).requires_grad, torch.is_grad_enabled(), torch.is_inference_mode_enabled())
import torch.utils.checkpoint as cp

lin = nn.Linear(3, 3)
o = cp.checkpoint(lambda t: lin(t).relu(), x, use_reentrant=False)
o.sum().backward()
print(x.grad, lin.weight.grad)
from torch.func import functional_call, grad, hessian, jacrev, jvp, vjp, vmap

print(
    grad(lambda t: (t**3).sum())(x.detach()),
    vmap(lambda a, b: a @ b)(torch.ones(4, 3), torch.ones(4, 3)),
    jacrev(torch.sin)(torch.ones(2)),
    functional_call(lin, {"weight": torch.eye(3), "bias": torch.zeros(3)}, (x,)),
    hessian(lambda t: (t**3).sum())(torch.ones(2)),
)
print(jvp(torch.sin, (torch.ones(2),), (torch.ones(2),)), vjp(torch.sin, torch.ones(2))[1](torch.ones(2)))
