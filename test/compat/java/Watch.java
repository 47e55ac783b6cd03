import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.*;
import net.bytebuddy.agent.ByteBuddyAgent;
import net.bytebuddy.agent.builder.AgentBuilder;
import net.bytebuddy.asm.Advice;
import net.bytebuddy.matcher.ElementMatchers;

/**
 * Records which public methods of a client the program called, and insists on all of them. The clients are final classes,
 * so their methods are instrumented. A method that only another one of the client called does not count.
 */
public class Watch {
    private static final Set<String> CALLED = Collections.synchronizedSet(new TreeSet<>());
    private static final ThreadLocal<Integer> DEPTH = ThreadLocal.withInitial(() -> 0);

    /** From here on, calls are recorded. */
    static void methodsOf(Class<?>... clients) {
        new AgentBuilder.Default()
            .with(AgentBuilder.RedefinitionStrategy.RETRANSFORMATION)
            .disableClassFormatChanges()
            .type(ElementMatchers.anyOf(clients))
            .transform((builder, type, loader, module, domain) -> builder.visit(Advice.to(Call.class).on(ElementMatchers.isPublic().and(ElementMatchers.isMethod()))))
            .installOn(ByteBuddyAgent.install());
    }

    /** What is put around every public method. */
    public static class Call {
        @Advice.OnMethodEnter
        public static void enter(@Advice.Origin Method method) { Watch.enter(method); }

        @Advice.OnMethodExit(onThrowable = Throwable.class)
        public static void exit() { Watch.exit(); }
    }

    public static void enter(Method method) {
        if (DEPTH.get() == 0) CALLED.add(name(method, true));
        DEPTH.set(DEPTH.get() + 1);
    }

    public static void exit() { DEPTH.set(DEPTH.get() - 1); }

    private static String name(Method method, boolean whole) {
        String name = method.getDeclaringClass().getSimpleName() + "." + method.getName();
        if (!whole) return name;
        StringJoiner types = new StringJoiner(",", "(", ")");
        for (Class<?> type : method.getParameterTypes()) types.add(type.getSimpleName());
        return name + types;
    }

    /** Fails if a public method was never called: in every form of it if whole, else in one, that which gives the whole response apart. */
    static void done(Class<?> client, boolean whole, String... without) {
        SortedSet<String> called = new TreeSet<>(), missing = new TreeSet<>();
        for (Method method : client.getDeclaredMethods()) {
            if (!Modifier.isPublic(method.getModifiers()) || method.isSynthetic()) continue;
            String plain = method.getName().replaceFirst("WithResponse$", "");
            if (List.of(without).contains(plain) || !whole && !plain.equals(method.getName())) continue;
            (CALLED.contains(name(method, true)) ? called : missing).add(name(method, whole));
        }
        missing.removeAll(called);
        Every.check(!called.isEmpty() && missing.isEmpty(), "never called: " + missing);
        called.forEach(name -> System.out.println("called " + name));
        System.out.println(client.getSimpleName() + ": " + called.size() + " methods");
    }
}
