"""An Ethereum chain of one process: messages to contracts on py-evm, and what they cost.

Nothing here knows the market. Fork: Prague. Read next: `market.py`.
"""

from typing import Any, ClassVar, NamedTuple

import eth.tools.builder.chain as build
from eth.abc import ComputationAPI
from eth.chains.mainnet import MainnetChain
from eth.db.atomic import AtomicDB
from eth.exceptions import Halt
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.message import Message
from eth.vm.transaction_context import BaseTransactionContext

GAS_LIMIT = 30_000_000
TX_BASE, TX_CREATE = 21_000, 32_000
ZERO_BYTE, OTHER_BYTE, FLOOR_BYTE = 4, 16, 10  # EIP-2028, EIP-7623
GENESIS = {"difficulty": 0, "gas_limit": GAS_LIMIT}


class Computation(PragueComputation):
    """Prague, with less bookkeeping around each opcode: a third faster, same results and gas.

    The valid jump targets of a code are worked out once for all messages, and opcodes of constant
    price are paid for in the loop instead of three calls deep.
    """

    targets: ClassVar[dict[bytes, tuple[set[int], set[int]]]] = {}
    priced: ClassVar[list[tuple[int, Any]]] = [
        (op.gas_cost, op.logic_fn) if hasattr(op, "logic_fn") else (2**64, None)
        for op in (PragueComputation.opcodes.get(code) for code in range(256))
    ]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        stream: Any = self.code
        known = self.targets.setdefault(stream._raw_code_bytes, (set(), set()))
        stream.valid_positions, stream.invalid_positions = known

    @classmethod
    def apply_computation(  # type: ignore[override]
        cls, state: Any, message: Any, context: Any, parent_computation: Any = None
    ) -> ComputationAPI:
        """The loop over opcodes for calls of contracts; anything else the usual way."""
        if message.is_create or message.code_address in cls._precompiles:
            return super().apply_computation(state, message, context, parent_computation)
        with cls(state, message, context) as self:
            outer: Any = parent_computation
            self.contracts_created = [] if outer is None else outer.contracts_created
            stream, meter = self.code, self._gas_meter
            try:
                for code in stream:
                    cost, run = cls.priced[code]
                    if cost <= meter.gas_remaining:
                        meter.gas_remaining -= cost
                        run(self)
                    else:  # too dear, of variable price or unknown
                        self.opcodes.get(code, InvalidOpcode(code))(self)
            except Halt:
                pass
        return self


class Sent(NamedTuple):
    """What became of a message."""

    ok: bool
    output: bytes
    gas: int  # of the whole transaction, see `transaction_gas`
    pc: int  # where the code stopped; of a failure the code that failed, see `code_of`
    back: int  # and where to it would have returned: the stack's second item, 0 if there is none
    code_of: bytes  # address of that code
    logs: tuple[Any, ...]  # (address, topics, data)


def intrinsic_gas(data: bytes) -> int:
    """21000 + 4 per zero byte + 16 per other byte (EIP-2028)."""
    zeros = data.count(0)
    return TX_BASE + ZERO_BYTE * zeros + OTHER_BYTE * (len(data) - zeros)


def transaction_gas(data: bytes, used: int, refund: int, extra: int = 0) -> int:
    """Gas that the sender pays (EIP-3529 refunds, EIP-7623 floor).

    max(spent - min(refund, spent // 5), 21000 + 10 per zero byte + 40 per other byte), where
    spent = intrinsic + used, and the intrinsic gas of a creation has 32000 extra.
    """
    spent = intrinsic_gas(data) + extra + used
    zeros = data.count(0)
    floor = TX_BASE + FLOOR_BYTE * (zeros + 4 * (len(data) - zeros))
    return max(spent - min(refund, spent // 5), floor)


def _failed(done: Any) -> Any:
    """The innermost computation whose failure the outer ones have passed on."""
    while done.is_error and done.children and done.children[-1].is_error:
        if done.children[-1].output != done.output:
            break
        done = done.children[-1]
    return done


def _second(stack: list[Any]) -> int:
    second = stack[-2] if len(stack) > 1 else 0
    return int.from_bytes(second, "big") if isinstance(second, bytes) else second


class Evm:
    """The state of a chain; every message is a transaction of its own."""

    def __init__(self) -> None:
        chain_class: Any = build.build(MainnetChain, build.latest_mainnet_at(1))
        self.state: Any = chain_class.from_genesis(AtomicDB(), GENESIS).get_vm().state

    @property
    def block(self) -> int:
        """The number of the block that the next message is in."""
        return int(self.state.block_number)

    @block.setter
    def block(self, number: int) -> None:
        self.state.execution_context._block_number = number

    def call(self, sender: bytes, to: bytes, data: bytes, value: int = 0) -> Sent:
        """One message to a contract.

        Args:
            sender: address that sends (and needs `value` wei).
            to: address of the contract.
            data: selector and arguments.
            value: wei.
        """
        code = self.state.get_code(to)
        message = Message(GAS_LIMIT, to, sender, value, data, code)
        return self._run(Computation.apply_message, message, data)

    def create(self, sender: bytes, address: bytes, code: bytes) -> Sent:
        """Runs the creation code of a contract, which then lives at `address`."""
        message = Message(GAS_LIMIT, b"", sender, 0, b"", code, create_address=address)
        return self._run(Computation.apply_create_message, message, code)

    def _run(self, apply: Any, message: Message, data: bytes) -> Sent:
        for address in (message.sender, message.storage_address):
            self.state.mark_address_warm(address)
        context = BaseTransactionContext(gas_price=0, origin=message.sender)
        done: ComputationAPI = apply(self.state, message, context)
        extra = TX_CREATE if message.is_create else 0
        gas = transaction_gas(data, done.get_gas_used(), done.get_gas_refund(), extra)
        # What was warm or dirty in this transaction is cold and clean in the next one.
        self.state.lock_changes()
        self.state.clear_transient_storage()
        logs = done.get_log_entries()
        last = _failed(done)
        pc, back = last.code.program_counter - 1, _second(last._stack.values)
        return Sent(done.is_success, done.output, gas, pc, back, last.msg.code_address, logs)
